"""Many open dashboards as one program: each asks on time, at moments of its own, and all at once half-way."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp

from local import wiring

DASHBOARDS = 200
STATUS_EVERY, CARD_EVERY, HEALTH_EVERY = 5.0, 30.0, 10.0  # seconds; the first two as the pages do
PATIENCE = aiohttp.ClientTimeout(total=30)  # the page's own
_CARD = "/api/monitor/aks/warmup-status?" + urlencode(
    {
        "subscription_id": wiring.SUBSCRIPTION,
        "resource_group": wiring.RESOURCE_GROUP,
        "cluster_name": wiring.CLUSTER,
    }
)


@dataclass(slots=True)
class Answers:
    """What the dashboards met."""

    degraded_is_right: bool = False  # while nothing can be known of the cluster
    status_ms: list[float] = field(default_factory=list)
    card_ms: list[float] = field(default_factory=list)
    health_ms: list[float] = field(default_factory=list)
    undegraded: int = 0  # cards that claimed to know all
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Which runs are watched, where, and until when; `running` may name others as time goes on."""

    url: str
    running: list[str]
    end: float  # by the monotonic clock


@asynccontextmanager
async def open_pages(pages: Pages, answers: Answers) -> AsyncIterator["asyncio.Future[list[None]]"]:
    """Open them all, each with connections of its own; yields what ends when they have asked their last."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(pages.url, connector=connector, timeout=PATIENCE) as session:
        asking = asyncio.gather(
            *(_Page(session, number, pages, answers).live() for number in range(DASHBOARDS))
        )
        try:
            yield asking
        finally:
            asking.cancel()


@dataclass(frozen=True, slots=True)
class _Page:
    session: aiohttp.ClientSession
    number: int
    pages: Pages
    answers: Answers

    async def live(self) -> None:
        """Ask on time; a late answer does not delay the next question by more than itself."""
        now, end = time.monotonic(), self.pages.end
        half = now + (end - now) / 2
        offset = self.number / DASHBOARDS
        cards = {*_every(CARD_EVERY, now, end, offset), half}
        healths = set(_every(HEALTH_EVERY, now, end, offset))
        moments = {*_every(STATUS_EVERY, now, end, offset), *cards, *healths}
        for moment in sorted(moments):
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            asked = [self._ask_status()]
            asked += [self._ask_card()] if moment in cards else []
            asked += [self._ask_health()] if moment in healths else []
            await asyncio.gather(*asked)

    async def _ask_status(self) -> None:
        running = self.pages.running
        await self._ask(f"/api/warmup/{running[self.number % len(running)]}/status", self.answers.status_ms)

    async def _ask_health(self) -> None:
        await self._ask("/api/health", self.answers.health_ms)

    async def _ask_card(self) -> None:
        card = await self._ask(_CARD, self.answers.card_ms)
        if card is not None and not card.get("degraded"):
            self.answers.undegraded += 1
        if card is not None and card.get("degraded") and not self.answers.degraded_is_right:
            self.answers.errors.append(f"card degraded: {card.get('error')}")

    async def _ask(self, path: str, times_ms: list[float]) -> dict[str, object] | None:
        """Ask once and note how long it took; None, and an error, unless it was answered with 200."""
        began = time.monotonic()
        try:
            async with self.session.get(path) as answer:
                body: dict[str, object] = await answer.json()
                wrong = "" if answer.ok else f"{path[:40]} {answer.status} {body.get('error', '')}"
        except (aiohttp.ClientError, TimeoutError) as fault:
            wrong = f"{path[:40]} {fault!r}"
        times_ms.append((time.monotonic() - began) * 1_000)
        if wrong:
            self.answers.errors.append(wrong)
            return None
        return body


def _every(period: float, begin: float, end: float, offset: float) -> Iterator[float]:
    moment = begin + offset * period
    while moment < end:
        yield moment
        moment += period
