"""A TCP proxy that counts: what a server sent on its way to a client, and when."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES = 16 * 1024
# What may lie between the proxy and its client, so that what is counted has all but arrived.
BUFFER_BYTES = 64 * 1024


@dataclass(kw_only=True)
class CountingProxy:
    """Where it listens, and what came through."""

    port: int
    passed: list[tuple[float, int]] = field(default_factory=list)
    """Moments in seconds, and bytes."""

    def most_within(self, seconds: float) -> int:
        """The bytes of the busiest window of that length."""
        most = within = begin = 0
        for moment, size in self.passed:
            within += size
            while moment - self.passed[begin][0] >= seconds:
                within -= self.passed[begin][1]
                begin += 1
            most = max(most, within)
        return most


@contextmanager
def counting_proxy(port: int) -> Iterator[CountingProxy]:
    """In front of a server on loopback, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = CountingProxy(port=listener.getsockname()[1])
        threading.Thread(target=_serve, args=(listener, port, proxy), daemon=True).start()
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, port: int, proxy: CountingProxy) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            threading.Thread(target=_relay, args=(client, port, proxy), daemon=True).start()


def _relay(client: socket.socket, port: int, proxy: CountingProxy) -> None:
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        asking = threading.Thread(target=_pump, args=(client, server, None), daemon=True)
        asking.start()
        _pump(server, client, proxy)
        asking.join()


def _pump(source: socket.socket, target: socket.socket, counting: CountingProxy | None) -> None:
    with suppress(OSError):
        while piece := source.recv(PIECE_BYTES):
            if counting is not None:
                counting.passed.append((time.monotonic(), len(piece)))
            target.sendall(piece)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
