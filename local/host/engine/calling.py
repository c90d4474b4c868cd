"""How the backend, which was made to be called over gRPC, is called from its own process."""

from collections.abc import Callable
from typing import NoReturn, cast

import grpc


class EngineError(Exception):
    """The backend refused what the host asked of it: a defect of this host."""


class Bell:
    """What the backend takes for the event that wakes its waiting thread: tells instead, and nobody waits.

    Work is queued before `set`, and looked for after `clear`: none is left untold.
    """

    def __init__(self) -> None:
        """Ring for nobody yet."""
        self.tell: Callable[[], object] = lambda: None
        self._is_rung = False
        self._is_idle = False

    def set(self) -> None:
        """There may be work."""
        if not self._is_rung:
            self._is_rung = True
            self.tell()

    def clear(self) -> None:
        """Somebody looks for work now."""
        self._is_rung = False

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - the event's
        """There was no work: not a moment is waited."""
        self._is_idle = True
        return False

    def until_idle(self) -> grpc.ServicerContext:
        """Give the context of a call that takes what work there is."""
        self._is_idle = False
        return cast("grpc.ServicerContext", _Call(lambda: not self._is_idle))


class _Call:
    """The servicer's context for a call from the same process."""

    def __init__(self, is_active: Callable[[], bool]) -> None:
        self.is_active = is_active

    def abort(self, _code: grpc.StatusCode, details: str) -> NoReturn:
        raise EngineError(details)


IN_PROCESS = cast("grpc.ServicerContext", _Call(lambda: True))
