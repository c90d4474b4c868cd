"""From what a door says to an HTTP answer: JSON always, an `error` sentence for whatever went wrong.

├── 400  BadRequestError, from the parsers
├── 401, 403  who calls, and what they may
├── 404, 409, 413  what was asked for
└── 503  PassingError, from the ports: ask again
"""

import json
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

import azure.functions as func

from shared.domain.refusals import Reason, Refusal
from shared.domain.requests import BadRequestError
from shared.ports import FinalError, PassingError

Json = Mapping[str, object]

MAX_BODY_BYTES = 64 * 1024  # the largest honest body, 16 long names, has 4 KiB
RETRY_SECONDS = 5  # what is out of reach for a moment is asked again at the pace of a poll
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
}
_NOT_FOUND = {Reason.CLUSTER_NOT_FOUND, Reason.ACCOUNT_NOT_FOUND, Reason.DATABASE_NOT_FOUND}
_FORBIDDEN = {Reason.CLUSTER_FORBIDDEN, Reason.ACCOUNT_FORBIDDEN, Reason.NOT_ALLOWED}
_PLAIN_ENCODINGS = {"", "identity"}
_logger = logging.getLogger("warmup.doors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a door says."""

    body: Json
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class ShutDoorError(Exception):
    """A door stays shut: the status, and a sentence that says what to do."""

    def __init__(self, status: int, sentence: str) -> None:
        """Keep both for the answer."""
        super().__init__(sentence)
        self.status = status


async def respond(door: Awaitable[Answer]) -> func.HttpResponse:
    """Await what a door says and send it; what went wrong becomes its status and sentence."""
    try:
        answer = await door
    except BadRequestError as bad:
        answer = _error(400, str(bad))
    except ShutDoorError as shut:
        answer = _error(shut.status, str(shut))
    except FinalError as final:
        answer = _error(refused(final.refusal).status, str(final))
    except PassingError as passing:
        answer = _error(503, f"{passing}; try again in a moment")
    except Exception:  # the outermost frame: the caller gets a sentence, the log gets the trace
        _logger.exception("a door failed")
        answer = _error(500, "this is a fault of the warm-up app; its log says more")
    return _sent(answer)


def refused(refusal: Refusal) -> ShutDoorError:
    """Turn a port's refusal into an answer's status."""
    if refusal.reason in _NOT_FOUND:
        return ShutDoorError(404, refusal.sentence)
    return ShutDoorError(403 if refusal.reason in _FORBIDDEN else 409, refusal.sentence)


def read_body(request: func.HttpRequest) -> object:
    """Read the JSON of a request, whatever it is, within bounds.

    Raises:
        BadRequestError: when it is no JSON in UTF-8.
        ShutDoorError: 413 when it is too long.
    """
    raw = request.get_body()
    if len(raw) > MAX_BODY_BYTES:
        raise ShutDoorError(413, f"the body has {len(raw)} bytes; at most {MAX_BODY_BYTES} are read")
    if request.headers.get("content-encoding", "").strip().lower() not in _PLAIN_ENCODINGS:
        raise BadRequestError("the body is compressed; send it plain (no Content-Encoding)")
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_no_number, object_pairs_hook=_each_once)
    except BadRequestError:
        raise
    except (ValueError, RecursionError):
        raise BadRequestError("the body must be a JSON object in UTF-8") from None


def _no_number(text: str) -> float:
    raise ValueError(text)  # NaN and its like are no JSON


def _each_once(fields: list[tuple[str, object]]) -> dict[str, object]:
    """Whatever stands before the app may have judged the first of two; JSON leaves open which one counts."""
    found = dict(fields)
    if len(found) < len(fields):
        names = [name for name, _ in fields]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequestError(f"{twice[:80]!r} is named twice; name each field once")
    return found


def _error(status: int, sentence: str) -> Answer:
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}  # noqa: PLR2004 - an HTTP status
    if status == 401:  # noqa: PLR2004 - an HTTP status
        headers["WWW-Authenticate"] = "Bearer"
    return Answer(status=status, body={"error": sentence}, headers=headers)


def _sent(answer: Answer) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(answer.body),
        status_code=answer.status,
        headers={**_SECURITY_HEADERS, **answer.headers},
        mimetype="application/json",
        charset="utf-8",
    )
