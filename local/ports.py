"""Where each server of the stack listens: as set, else where it did last time, else anywhere that is free.

A port is held from its choice until its server listens, so that neither another start that takes any free
one nor an outgoing connection comes between: bound on every address, but not listening, which a server's
own bind passes over. Two starts that are told the same port are told so by the second's server.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

LOOPBACK = "127.0.0.1"
_ANY_ADDRESS = ""
_LAST_PORT = 65535


class PortError(Exception):
    """A port that was set cannot be had; the message names the setting."""


@contextmanager
def chosen_ports(
    names: Iterable[str], last: Mapping[str, int], environ: Mapping[str, str]
) -> Iterator[dict[str, int]]:
    """A port for each name, no two alike; `STACK_PORT_<NAME>` sets one, and those that are set come first.

    They are held until the block ends.

    Raises:
        PortError: one that is set is none, is not free, or is set twice.
    """
    chosen: dict[str, int] = {}
    with ExitStack() as held:
        for name in sorted(names, key=lambda name: _setting(name) not in environ):
            taken = frozenset(chosen.values())
            wanted = environ.get(_setting(name))
            holder = _any(last.get(name, 0), taken) if wanted is None else _set(name, wanted, taken)
            chosen[name] = held.enter_context(holder).getsockname()[1]
        yield chosen


@contextmanager
def held_port() -> Iterator[int]:
    """A port that nobody has, held until the block ends."""
    with bind(0, _ANY_ADDRESS) as holder:
        yield holder.getsockname()[1]


def bind(port: int, address: str = LOOPBACK) -> socket.socket:
    """A TCP socket to listen on; for port 0, at one that nobody has or holds.

    Raises:
        OSError: the port cannot be had.
    """
    # The protocol is named because asyncio switches Nagle off only where it is: 40 ms an answer otherwise.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if port:
            _share(bound)  # with connections of last time, which may linger
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    _share(bound)  # only now where it may be any: the system would give one that another start holds
    return bound


def is_free(port: int) -> bool:
    """Whether nobody listens on it, at any address."""
    holder = _hold(port)
    if holder is not None:
        holder.close()
    return holder is not None


def _any(last: int, taken: frozenset[int]) -> socket.socket:
    return (None if last in taken else _hold(last)) or bind(0, _ANY_ADDRESS)


def _set(name: str, wanted: str, taken: frozenset[int]) -> socket.socket:
    port = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
    if port in taken:
        raise PortError(f"{_setting(name)} is {wanted}, and so is another; give each server its own")
    holder = _hold(port) if 0 < port <= _LAST_PORT else None
    if holder is None:
        raise PortError(
            f"{_setting(name)} is {wanted!r}, and that port cannot be had; free it or name another"
        )
    return holder


def _hold(port: int) -> socket.socket | None:
    try:
        return bind(port, _ANY_ADDRESS)
    except OSError:
        return None


def _share(bound: socket.socket) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _setting(name: str) -> str:
    return f"STACK_PORT_{name.upper()}"
