"""Where each server of the stack listens: as set, else where it did last time, else anywhere that is free."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

LOOPBACK = "127.0.0.1"
_LAST_PORT = 65535


class PortError(Exception):
    """A port that was set cannot be had; the message names the setting."""


def choose_ports(names: Iterable[str], last: Mapping[str, int], environ: Mapping[str, str]) -> dict[str, int]:
    """A port for each name, no two alike; `STACK_PORT_<NAME>` sets one, and those that are set come first.

    Raises:
        PortError: one that is set is none, is not free, or is set twice.
    """
    chosen: dict[str, int] = {}
    for name in sorted(names, key=lambda name: _setting(name) not in environ):
        taken = frozenset(chosen.values())
        wanted = environ.get(_setting(name))
        chosen[name] = _any(last.get(name, 0), taken) if wanted is None else _set(name, wanted, taken)
    return chosen


def free(port: int) -> int:
    """The port if it can be bound, 0 if not; for 0, any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


def _any(last: int, taken: frozenset[int]) -> int:
    port = free(last)
    # The system may give the same one twice, since nobody holds it in between.
    while not port or port in taken:
        port = free(0)
    return port


def _set(name: str, wanted: str, taken: frozenset[int]) -> int:
    port = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
    if not 0 < port <= _LAST_PORT or not free(port):
        raise PortError(
            f"{_setting(name)} is {wanted!r}, and that port cannot be had; free it or name another"
        )
    if port in taken:
        raise PortError(f"{_setting(name)} is {wanted}, and so is another; give each server its own")
    return port


def _setting(name: str) -> str:
    return f"STACK_PORT_{name.upper()}"
