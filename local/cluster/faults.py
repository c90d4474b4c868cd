"""Faults on demand: a seeded share of the API's requests is slow, refused, never answered, or lost.

Which requests are hit follows from the seed and their order alone, so that a run repeats.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import asdict, dataclass, field, fields
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from starlette.responses import Response

from local.cluster.failures import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Receive, Scope, Send

    from local.cluster.objects import Json
    from local.cluster.requests import ApiRequest

Effect = Literal["latency", "error", "hang", "lost_reply"]
EFFECTS: dict[str, Effect] = {
    "latency": "latency",
    "error": "error",
    "hang": "hang",
    "lost_reply": "lost_reply",
}

ANY = "*"

HANG_SECONDS = 3600.0
"""Longer than any client waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to a share of some requests."""

    effect: Effect
    verb: str = ANY
    resource: str = ANY
    share: float = 1.0
    seconds: float = 1.0
    """How long `latency` lasts."""
    code: int = HTTPStatus.INTERNAL_SERVER_ERROR
    """What `error` answers: 429 or any 5xx."""

    def concerns(self, request: ApiRequest) -> bool:
        """Whether the request is of the kind that this fault hits."""
        return self.verb in {ANY, request.verb} and self.resource in {ANY, request.kind.plural}


@dataclass(slots=True, kw_only=True)
class Faults:
    """The faults in force."""

    faults: Sequence[Fault] = ()
    seed: int = 0
    _dice: random.Random = field(default_factory=random.Random)

    def put(self, faults: Sequence[Fault], seed: int) -> None:
        """Replace all faults; the same seed hits the same requests again."""
        self.faults, self.seed = tuple(faults), seed
        self._dice = random.Random(seed)  # noqa: S311 - it must repeat, not be secret

    def pick(self, request: ApiRequest) -> Fault | None:
        """The fault that hits this request, if one does."""
        for fault in self.faults:
            if fault.concerns(request) and self._dice.random() < fault.share:
                return fault
        return None

    def as_json(self) -> Json:
        """As the control shows it."""
        return {"seed": self.seed, "faults": [asdict(fault) for fault in self.faults]}


async def suffer(fault: Fault) -> None:
    """What a request goes through before it is looked at; raises for `error`."""
    if fault.effect == "latency":
        await asyncio.sleep(fault.seconds)
    elif fault.effect == "hang":
        await asyncio.sleep(HANG_SECONDS)
    elif fault.effect == "error":
        status = HTTPStatus(fault.code)
        raise ApiError(status, status.phrase.replace(" ", ""), f"injected: {status.phrase}")


_PROMISED_BODY = [(b"content-length", b"1")]
"""A length that is never delivered: the server then closes the connection."""


class LostReply(Response):
    """The connection breaks after the headers: the client cannot know that the request was done."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin an answer and never end it."""
        del scope, receive
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": _PROMISED_BODY,
            }
        )


def parse_faults(body: Any) -> tuple[list[Fault], int]:
    """From the control's body: `{"seed": 7, "faults": [{"effect": "error", "share": 0.2}]}`; raises 400."""
    known = {each.name for each in fields(Fault)}
    faults = []
    for entry in body.get("faults", []):
        if entry.get("effect") not in EFFECTS or not entry.keys() <= known:
            raise bad_request(f"no such fault: {entry}; it has {', '.join(sorted(known))}")
        if entry.get("code", HTTPStatus.INTERNAL_SERVER_ERROR) not in set(HTTPStatus):
            raise bad_request(f"{entry['code']} is no HTTP status code")
        faults.append(Fault(**entry))
    return faults, int(body.get("seed", 0))
