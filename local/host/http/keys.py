"""Function, host and system keys; checked only when authentication is switched on."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import HTTPConnection

_KEY_BYTES = 40  # as long as the real host's keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The master key opens everything, the others their own doors."""

    master: str
    system: str
    function: str
    is_enforced: bool

    def admit_to_function(self, request: HTTPConnection, auth_level: str) -> bool:
        """Tell whether a caller may call a function of that level."""
        opening = {"anonymous": None, "function": (self.master, self.function)}
        keys = opening.get(auth_level, (self.master,))
        return keys is None or self._admits(request, keys)

    def admit_to_management(self, request: HTTPConnection) -> bool:
        """Tell whether a caller may use the Durable management API."""
        return self._admits(request, (self.master, self.system))

    def admit_to_administration(self, request: HTTPConnection) -> bool:
        """Tell whether a caller may use /admin."""
        return self._admits(request, (self.master,))

    def _admits(self, request: HTTPConnection, keys: tuple[str, ...]) -> bool:
        given = request.headers.get("x-functions-key") or request.query_params.get("code", "")
        return not self.is_enforced or any(hmac.compare_digest(given.encode(), key.encode()) for key in keys)


def make_keys(remember: Callable[[str, str], str], *, is_enforced: bool) -> Keys:
    """Make keys; `remember` gives the one kept under a name, or keeps the fresh one."""

    def key(name: str) -> str:
        return remember(name, secrets.token_urlsafe(_KEY_BYTES))

    return Keys(master=key("master"), system=key("system"), function=key("function"), is_enforced=is_enforced)
