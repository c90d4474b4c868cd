"""A plain file server that is never the bound: sendfile, ranges, a token for whoever asks."""

from __future__ import annotations

import argparse
import json
import os
import re
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1024 * 1024
ETAG = "0x1"


class Handler(BaseHTTPRequestHandler):
    """Answers HEAD and GET of files in one folder, whatever container is asked for."""

    protocol_version = "HTTP/1.1"
    folder: Path
    tls: bool

    def do_HEAD(self) -> None:
        """The head of a file."""
        self._answer()

    def do_GET(self) -> None:
        """A token, or a range of a file."""
        if self.path.startswith("/msi"):
            self._give_token()
        else:
            self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class says so
        """Logging would be measured too."""

    def _give_token(self) -> None:
        body = json.dumps({"access_token": "a-token", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> None:
        path = self.folder / Path(self.path).name
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        start, end = (int(asked[1]), int(asked[2]) + 1) if asked else (0, size)
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{ETAG}"')
        self.send_header("Content-Length", str(end - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        if self.command == "GET":
            self._send(path, start, end)

    def _send(self, path: Path, start: int, end: int) -> None:
        with path.open("rb") as stream:
            while start < end:
                count = min(CHUNK_BYTES, end - start)
                if self.tls:
                    stream.seek(start)
                    self.wfile.write(stream.read(count))
                else:
                    count = os.sendfile(self.connection.fileno(), stream.fileno(), start, count)
                start += count


class Server(ThreadingHTTPServer):
    """Takes many connections at once."""

    request_queue_size = 256
    daemon_threads = True


def main() -> None:
    """Serve a folder and print the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    options = parser.parse_args()
    handler = type("Bound", (Handler,), {"folder": options.folder, "tls": bool(options.certificate)})
    server = Server(("127.0.0.1", 0), handler)
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
