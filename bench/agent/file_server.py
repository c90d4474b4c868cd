"""A source that is never the bound: files by sendfile, from two processes, and what readers of blobs ask.

It lists its folder like Azure, so that azcopy can read it, gives a token to whoever asks, tells at `/served`
how many bytes of files have left it, and lets a share of its answers go wrong where it is told to. It is a
bound after all where it is told the rate of a wire.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import signal
import socket
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from agent.crew import die_with
from agent.pacing import pace_for

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

    from agent.pacing import Pace

CHUNK_BYTES = 1024 * 1024
# Bytes in a buffer count as served: a broken answer must not count megabytes that nobody could have read.
SEND_BUFFER_BYTES = 256 * 1024
ETAG = "0x1"
MODIFIED = "Tue, 26 May 2026 01:05:01 GMT"
LISTED = (
    "<Blob><Name>db/{name}</Name><Properties><Last-Modified>{modified}</Last-Modified><Etag>{etag}</Etag>"
    "<Content-Length>{size}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
)


class Handler(BaseHTTPRequestHandler):
    """Answers HEAD and GET of files in one folder, whatever account and container are asked for."""

    protocol_version = "HTTP/1.1"
    folder: Path
    tls: bool
    faults: float
    served: Synchronized[int]
    wire: Pace

    def setup(self) -> None:
        """A small buffer where answers break."""
        if self.faults:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().setup()

    def do_HEAD(self) -> None:
        """The head of a file."""
        self._answer()

    def do_GET(self) -> None:
        """A token, a list, a count, or a range of a file."""
        parts = urlsplit(self.path)
        if parts.path == "/msi":
            self._say(json.dumps({"access_token": "a-token", "expires_in": 3600}))
        elif parts.path == "/served":
            self._say(str(self.served.value))
        elif parse_qs(parts.query).get("comp") == ["list"]:
            self._say(self._list())
        else:
            self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class says so
        """Logging would be measured too."""

    def _list(self) -> str:
        entries = [
            LISTED.format(name=path.name, modified=MODIFIED, etag=ETAG, size=path.stat().st_size)
            for path in sorted(self.folder.iterdir())
        ]
        return (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>'
            f"{''.join(entries)}</Blobs><NextMarker /></EnumerationResults>"
        )

    def _say(self, body: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def _answer(self) -> None:
        path = self.folder / Path(unquote(urlsplit(self.path).path)).name
        if not path.is_file():
            self._say("", status=404)
            return
        size = path.stat().st_size
        header = self.headers["x-ms-range"] or self.headers["Range"] or ""
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", header)
        start, end = (int(asked[1]), min(size, int(asked[2]) + 1)) if asked else (0, size)
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{ETAG}"')
        self.send_header("Last-Modified", MODIFIED)
        self.send_header("x-ms-blob-type", "BlockBlob")
        self.send_header("Content-Length", str(end - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        if self.command == "GET":
            self._send(path, start, self._end(start, end))

    def _end(self, start: int, end: int) -> int:
        """Where this answer ends: now and then too early, at any byte."""
        if random.random() >= self.faults:  # noqa: S311 - breaks answers, hides nothing
            return end
        self.close_connection = True
        return random.randint(start, end)  # noqa: S311 - same

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
                self.wire.wait_for(count)
                with self.served.get_lock():
                    self.served.value += count


class Server(ThreadingHTTPServer):
    """Takes many connections at once."""

    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is its own business."""


def _serve_with(server: Server, first: int) -> None:
    die_with(first)
    server.serve_forever()


def main() -> None:
    """Serve a folder and print the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--bytes-per-second", type=float, help="of all answers together")
    parser.add_argument("--pace", type=Path, help="the file in which both processes keep to that")
    options = parser.parse_args()
    bound = {
        "folder": options.folder,
        "tls": bool(options.certificate),
        "faults": options.faults,
        "served": multiprocessing.get_context("fork").Value("q", 0),
        "wire": pace_for(options.bytes_per_second, options.pace),
    }
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), bound))
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_port, flush=True)
    second = multiprocessing.get_context("fork").Process(
        target=_serve_with, args=(server, os.getpid()), daemon=True
    )
    second.start()
    # An orderly exit takes the other process along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server.serve_forever()


if __name__ == "__main__":
    main()
