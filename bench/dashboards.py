"""Two hundred dashboards on one app while three warm-ups copy: is any refused, how late are they, who pays?

    .venv/bin/python -m bench.dashboards [SECONDS]

Each polls a run's status every 5 s and the cluster's card every 30 s; half-way all ask at once. Before that
the same warm-ups run alone, so that their slow-down is a ratio of one machine in one run. The default is
five minutes.
"""

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from local import databases, stack, wiring
from local.dashboard import Dashboard
from local.places import Places, places
from local.staging import stage

SECONDS = 300.0
DASHBOARDS = 200
STATUS_EVERY, CARD_EVERY = 5.0, 30.0  # seconds, as the pages do
ALONE_ROUNDS = 3  # medians are told
COPY_SECONDS = 12.0  # how long the largest database takes a node, as it would take minutes on a real one
LIMIT_MS, CARD_LIMIT_MS, LIMIT_SLOWDOWN = 500.0, 10_000.0, 1.10


@dataclass(slots=True)
class Tally:
    """What the dashboards met."""

    status_ms: list[float] = field(default_factory=list)
    card_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A stack with three databases staged, and the rate at which each is copied."""

    up: stack.Stack
    dashboard: Dashboard
    mbps: dict[str, int]

    def warm_afresh(self, running: list[str]) -> float:
        """Forget what the nodes hold, warm all three at once; seconds until the last is done."""
        where = self.up.wiring.places
        for node in self.up.wiring.node_names:
            shutil.rmtree(where.blast_folder(node), ignore_errors=True)
        began = time.monotonic()
        with ThreadPoolExecutor(len(self.mbps)) as pool:
            ids = list(pool.map(self._start, self.mbps))
            running[:] = ids
            endings = list(pool.map(self._ending, ids))
        assert endings == ["succeeded"] * len(ids), endings
        return time.monotonic() - began

    def _start(self, database: str) -> str:
        body = self.dashboard.smallest_body(database) | {"max_mbps_per_node": self.mbps[database]}
        return str(self.dashboard.ask("POST", "/api/warmup/start", body)["instance_id"])

    def _ending(self, run_id: str) -> str:
        while True:
            status = self.dashboard.ask("GET", f"/api/warmup/{run_id}/status")
            if status["output"]:
                return str(status["output"]["status"])
            time.sleep(1)


def main(seconds: float) -> None:
    """Measure, and print each figure against its limit."""
    with _bench() as bench:
        running: list[str] = []
        alone = statistics.median(bench.warm_afresh(running) for _ in range(ALONE_ROUNDS))
        tally, rounds = asyncio.run(_together(bench, running, seconds))
    _tell("status", tally.status_ms, LIMIT_MS)
    _tell("card", tally.card_ms, CARD_LIMIT_MS)
    print(f"errors    {len(tally.errors):6} {tally.errors[:3]}")
    slowdown = statistics.median(rounds) / alone
    print(
        f"slow-down {slowdown:6.2f} of {len(rounds) * len(bench.mbps)} warm-ups, {alone:.1f} s alone", end=""
    )
    print(f"   limit {LIMIT_SLOWDOWN:g}   ratio {LIMIT_SLOWDOWN / slowdown:.2f}")
    print(f"beside other programs: load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")


def _tell(name: str, times_ms: list[float], limit_ms: float) -> None:
    """Median and worst of a hundred; a ratio above 1 keeps the limit."""
    hundredths = statistics.quantiles(times_ms, n=100)
    half, late = hundredths[49], hundredths[98]
    print(f"{name:9} {len(times_ms):6} answers   p50 {half:5.0f} ms   p99 {late:5.0f} ms", end="")
    print(f"   limit {limit_ms:g} ms   ratio {limit_ms / late:.2f}")


async def _together(bench: Bench, running: list[str], seconds: float) -> tuple[Tally, list[float]]:
    """Dashboards for so long, and warm-ups one round after the other beside them."""
    tally, rounds, end = Tally(), list[float](), time.monotonic() + seconds
    async with aiohttp.ClientSession(
        bench.up.wiring.app_url, connector=aiohttp.TCPConnector(limit=0)
    ) as session:
        open_pages = [
            asyncio.create_task(_page(Page(session=session, number=n, running=running, end=end), tally))
            for n in range(DASHBOARDS)
        ]
        while time.monotonic() < end:
            rounds.append(await asyncio.to_thread(bench.warm_afresh, running))
        await asyncio.gather(*open_pages)
    return tally, rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One open dashboard."""

    session: aiohttp.ClientSession
    number: int
    running: list[str]
    end: float


async def _page(page: Page, tally: Tally) -> None:
    """Ask on time, each page at a moment of its own; at half-time all at once."""
    now = time.monotonic()
    half = now + (page.end - now) / 2
    offset = page.number / DASHBOARDS
    times = [*_every(STATUS_EVERY, now, page.end, offset), half]
    cards = {*_every(CARD_EVERY, now, page.end, offset), half}
    for moment in sorted({*times, *cards}):
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        run_id = page.running[page.number % len(page.running)]
        asked = [_ask(page, f"/api/warmup/{run_id}/status", tally.status_ms, tally.errors)]
        if moment in cards:
            asked.append(_ask(page, _CARD, tally.card_ms, tally.errors))
        await asyncio.gather(*asked)


def _every(period: float, begin: float, end: float, offset: float) -> Iterator[float]:
    moment = begin + offset * period
    while moment < end:
        yield moment
        moment += period


async def _ask(page: Page, path: str, times_ms: list[float], errors: list[str]) -> None:
    began = time.monotonic()
    try:
        async with page.session.get(path) as answer:
            body = await answer.json()
            wrong = answer.status != 200 or body.get("degraded")  # noqa: PLR2004 - HTTP
            told = f"{path[:40]} {answer.status} {body.get('error', '')}"
    except aiohttp.ClientError as fault:
        wrong, told = True, f"{path[:40]} {fault!r}"
    times_ms.append((time.monotonic() - began) * 1_000)
    if wrong:
        errors.append(told)


_CARD = "/api/monitor/aks/warmup-status?" + urlencode(
    {
        "subscription_id": wiring.SUBSCRIPTION,
        "resource_group": wiring.RESOURCE_GROUP,
        "cluster_name": wiring.CLUSTER,
    }
)


@contextmanager
def _bench() -> Iterator[Bench]:
    """A stack of its own, thrown away afterwards."""
    folders = databases.prepare(places().data, lambda *_: None)
    with tempfile.TemporaryDirectory() as root:
        where = Places(root=Path(root))
        up = stack.up(where)
        try:
            for folder in folders:
                stage(up.wiring.staging_server, folder, folder.name, lambda *_: None)
            rates = {folder.name: _mbps(folder) for folder in folders}
            yield Bench(up=up, dashboard=Dashboard(wiring=up.wiring), mbps=rates)
        finally:
            stack.down(where)


def _mbps(folder: Path) -> int:
    size = sum(file.stat().st_size for file in folder.iterdir())
    return max(1, round(size / 1e6 / COPY_SECONDS))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
