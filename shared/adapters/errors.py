"""What the SDKs raise, told in two classes: it may pass, or it will not.

    Exception
    ├── ports.PassingError   408, 409, 412, 425, 429, 5xx, and what says that all is well and cannot be read
    │   └── UnansweredError  no connection, a time-out, no token yet
    └── ports.FinalError
        └── RefusedError     every other answer; carries the `Refusal` that ports hand up as a value

A foreign message is cut to 256 characters, stripped of secrets, and its exception chained.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from azure.core.exceptions import AzureError, HttpResponseError
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from shared.domain.refusals import Refusal
from shared.domain.sanitising import sanitise
from shared.ports import FinalError, PassingError

MAX_FOREIGN_TEXT = 256
# Whatever an SDK raises for a call that failed.
SDK_ERRORS = (AzureError, ApiException, HTTPError)
_PASSING_STATUSES = frozenset({408, 409, 412, 425, 429})
# Azure's directory knows a new principal, and a resource its lock, only a while later.
_PASSING_CODES = frozenset({"PrincipalNotFound"})
# A subnet that is being changed, which ARM answers with 400 for as long as it takes.
_BEING_CHANGED = re.compile(r"\bUpdating'? state", re.IGNORECASE)
_FINAL_CODES = frozenset({"ScopeLocked", "RoleAssignmentExists"})


class UnansweredError(PassingError):
    """Nobody answered, for as long as was tried."""


class RefusedError(FinalError):
    """Something that a retry will not cure, with the service's own word for it."""

    def __init__(self, refusal: Refusal, code: str = "") -> None:
        """Carry the refusal, and the service's own word for it, to whoever may return it."""
        super().__init__(refusal)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One call that failed, whichever SDK made it."""

    status: int  # 0: nobody answered
    code: str  # the service's own word, such as AuthorizationFailed
    message: str
    being_changed: bool = False  # something that the call needs

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed later."""
        if self.code in _FINAL_CODES:
            return False
        # An answer that says all is well and cannot be read is somebody else's, in the service's place.
        unanswered = not 400 <= self.status < 500  # noqa: PLR2004 - HTTP
        return (
            self.being_changed
            or unanswered
            or self.status in _PASSING_STATUSES
            or self.code in _PASSING_CODES
        )

    def __str__(self) -> str:
        """Status and code before the message, which may be cut."""
        head = " ".join(part for part in (str(self.status or ""), self.code) if part)
        return f"{head}: {self.message}" if head else self.message


Refuse = Callable[[Fault], Refusal]


@contextmanager
def calling(doing: str, refuse: Refuse) -> Iterator[None]:
    """Make SDK calls; `doing` says what for, `refuse` what it means when they are refused.

    Raises:
        PassingError: when the same may succeed later.
        RefusedError: with what `refuse` made of the answer.
    """
    try:
        yield
    except SDK_ERRORS as error:
        fault = fault_of(error)
        if fault.may_pass:
            kind = PassingError if fault.status else UnansweredError
            raise kind(f"{doing} failed for now ({fault})") from error
        raise RefusedError(refuse(fault), fault.code) from error


def fault_of(error: Exception) -> Fault:
    """Read what is known of an SDK's exception."""
    if isinstance(error, ApiException):
        return _kubernetes_fault(error)
    if isinstance(error, HttpResponseError):
        return _azure_fault(error)
    return Fault(status=0, code=type(error).__name__, message=_cut(str(error)))


def _kubernetes_fault(error: ApiException) -> Fault:
    """An API server answers with a Status object; whoever stands in front of it may answer anything."""
    text = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        status = json.loads(text)
    except (ValueError, RecursionError):
        status = None
    told = status if isinstance(status, dict) else {"message": text or error.reason}
    return Fault(
        status=int(error.status or 0),
        code=_word(told.get("reason") or error.reason),
        message=_cut(told.get("message")),
    )


def _azure_fault(error: HttpResponseError) -> Fault:
    told = getattr(error.error, "message", None) or error.message
    return Fault(
        status=error.status_code or 0,
        code=_azure_code(error),
        message=_cut(told),
        being_changed=bool(_BEING_CHANGED.search(str(told))),  # often behind two long ids, where it is cut
    )


def _azure_code(error: HttpResponseError) -> str:
    # Storage and Azure Resource Manager each have a place of their own for it.
    code = getattr(error, "error_code", None) or getattr(error.error, "code", None)
    return str(getattr(code, "value", code) or _word(error.reason))


def _word(reason: object) -> str:
    return str(reason or "").split("\n", 1)[0].replace(" ", "")[:64]


def _cut(text: object) -> str:
    return " ".join(sanitise(str(text or "")).split())[:MAX_FOREIGN_TEXT]
