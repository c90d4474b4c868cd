"""Two hundred dashboards on one app while three warm-ups copy: is any refused, how late are they, who pays?

    .venv/bin/python -m bench.dashboards [SECONDS]

Each polls a run's status every 5 s and the cluster's card every 30 s; half-way all ask at once. The same
warm-ups run alone before and after, so that their slow-down is a ratio of one machine in one run. Then
cluster and storage are frozen under the same dashboards, and at last the host is told to end with all
of them connected. The default is five minutes; a signal ends it, and what it started, at any moment.
"""

import asyncio
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from bench.pages import Answers, Pages, open_pages
from local import databases, stack
from local.dashboard import Dashboard
from local.places import Places, places
from local.processes import Started
from local.staging import stage

SECONDS = 300.0
ALONE_ROUNDS = 2  # before, and again after; medians are told
COPY_SECONDS = 12.0  # how long the largest database takes a node, as it would take minutes on a real one
LIMIT_MS, CARD_LIMIT_MS, LIMIT_SLOWDOWN, LIMIT_END_SECONDS = 500.0, 10_000.0, 1.10, 10.0
FROZEN = ("cluster", "azure", "azurite")  # the Kubernetes API, ARM and the blob service
FORGOTTEN_SECONDS = 6.0  # a card's last good reading is shared for five
FROZEN_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A stack with three databases staged, and the rate at which each is copied."""

    up: stack.Stack
    dashboard: Dashboard
    mbps: dict[str, int]
    stopped: threading.Event

    def warm_afresh(self, running: list[str]) -> float:
        """Forget what the nodes hold, warm all three at once; seconds until the last is done."""
        began = time.monotonic()
        self.start_afresh(running)
        with ThreadPoolExecutor(len(running)) as pool:
            endings = list(pool.map(self._ending, running))
        assert self.stopped.is_set() or endings == ["succeeded"] * len(endings), endings
        return time.monotonic() - began

    def start_afresh(self, running: list[str]) -> None:
        """Start all three on nodes that hold nothing; `running` names them from now on."""
        where = self.up.wiring.places
        for node in self.up.wiring.node_names:
            shutil.rmtree(where.blast_folder(node), ignore_errors=True)
        running[:] = [self._start(database) for database in self.mbps]

    def server(self, name: str) -> Started:
        """One of the stack's servers."""
        return next(each for each in self.up.started if each.name == name)

    def _start(self, database: str) -> str:
        body = self.dashboard.smallest_body(database) | {"max_mbps_per_node": self.mbps[database]}
        return str(self.dashboard.ask("POST", "/api/warmup/start", body)["instance_id"])

    def _ending(self, run_id: str) -> str:
        while not self.stopped.wait(1.0):
            status = self.dashboard.ask("GET", f"/api/warmup/{run_id}/status")
            if status["output"]:
                return str(status["output"]["status"])
        return "stopped"


@dataclass(slots=True)
class Rounds:
    """How long the three warm-ups took, alone and beside the dashboards, in seconds."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)


def main(seconds: float) -> None:
    """Measure, and print each figure against its limit."""
    with _bench() as bench:
        rounds, running = Rounds(), list[str]()
        rounds.alone += [bench.warm_afresh(running) for _ in range(ALONE_ROUNDS)]
        busy = asyncio.run(_together(bench, running, rounds, seconds))
        rounds.alone += [bench.warm_afresh(running) for _ in range(ALONE_ROUNDS)]
        _tell_answers("", busy)
        _tell_rounds(rounds, len(bench.mbps))
        frozen, ended_after = asyncio.run(_frozen(bench, running))
        _tell_answers("frozen ", frozen)
        _tell("undegraded", f"{frozen.undegraded:6} of {len(frozen.card_ms)} cards", frozen.undegraded, 0, "")
        _tell("SIGTERM", f"{ended_after:6.1f} s until the host is gone", ended_after, LIMIT_END_SECONDS, "s")
    print(f"beside other programs: load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")


async def _together(bench: Bench, running: list[str], rounds: Rounds, seconds: float) -> Answers:
    """Dashboards for so long, and warm-ups one round after the other beside them."""
    answers, end = Answers(), time.monotonic() + seconds
    async with open_pages(Pages(url=bench.up.wiring.app_url, running=running, end=end), answers) as asking:
        while time.monotonic() < end and not bench.stopped.is_set():
            took = await asyncio.to_thread(bench.warm_afresh, running)
            if (
                time.monotonic() < end or not rounds.beside
            ):  # one that outlasted the dashboards was half alone
                rounds.beside.append(took)
        await asking
    return answers


async def _frozen(bench: Bench, running: list[str]) -> tuple[Answers, float]:
    """Runs in flight, then silence from all they depend on; at last the host is told to end."""
    await asyncio.to_thread(bench.start_afresh, running)
    with _stopped(bench):
        await asyncio.sleep(FORGOTTEN_SECONDS)
        answers = Answers(degraded_is_right=True)
        pages = Pages(url=bench.up.wiring.app_url, running=running, end=time.monotonic() + FROZEN_SECONDS)
        async with open_pages(pages, answers) as asking:
            await asking
            return answers, await asyncio.to_thread(_end, bench.server("host"))


def _end(host: Started) -> float:
    """Seconds from SIGTERM until it is gone."""
    began = time.monotonic()
    os.kill(host.pid, signal.SIGTERM)
    while host.is_alive and time.monotonic() - began < 2 * LIMIT_END_SECONDS:
        time.sleep(0.05)
    return time.monotonic() - began


@contextmanager
def _stopped(bench: Bench) -> Iterator[None]:
    """Servers that accept connections and never answer."""
    servers = [bench.server(name) for name in FROZEN]
    try:
        for each in servers:
            os.kill(each.pid, signal.SIGSTOP)
        yield
    finally:
        for each in servers:
            os.kill(each.pid, signal.SIGCONT)


def _tell_answers(when: str, answers: Answers) -> None:
    for name, times_ms, limit_ms in (
        ("status", answers.status_ms, LIMIT_MS),
        ("health", answers.health_ms, LIMIT_MS),
        ("card", answers.card_ms, CARD_LIMIT_MS),
    ):
        hundredths = statistics.quantiles(times_ms, n=100)
        half, late = hundredths[49], hundredths[98]
        told = f"{len(times_ms):6} answers   p50 {half:5.0f} ms   p99 {late:5.0f} ms"
        _tell(when + name, f"{told}   worst {max(times_ms):5.0f} ms", late, limit_ms, "ms")
    _tell(f"{when}errors", f"{len(answers.errors):6} {answers.errors[:3]}", len(answers.errors), 0, "")


def _tell_rounds(rounds: Rounds, databases_each: int) -> None:
    alone, beside = statistics.median(rounds.alone), statistics.median(rounds.beside)
    told = f"{beside / alone:6.2f} of {len(rounds.beside) * databases_each} warm-ups, {alone:.1f} s alone"
    _tell("slow-down", told, beside / alone, LIMIT_SLOWDOWN, "")


def _tell(name: str, told: str, measured: float, limit: float, unit: str) -> None:
    verdict = "kept" if measured <= limit else "NOT KEPT"
    print(f"{name:15} {told}   limit {limit:g} {unit}   {verdict}", flush=True)


@contextmanager
def _bench() -> Iterator[Bench]:
    """A stack of its own, thrown away afterwards."""
    stopped = threading.Event()
    _end_cleanly(stopped)
    folders = databases.prepare(places().data, lambda *_: None)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        where = Places(root=Path(root))
        try:
            up = stack.up(where)
            for folder in folders:
                stage(up.wiring.staging_server, folder, folder.name, lambda *_: None)
            rates = {folder.name: _mbps(folder) for folder in folders}
            yield Bench(up=up, dashboard=Dashboard(wiring=up.wiring), mbps=rates, stopped=stopped)
        finally:
            stopped.set()
            stack.down(where)


def _end_cleanly(stopped: threading.Event) -> None:
    """A signal leaves no server behind, frozen or not."""

    def end(number: int, _frame: object) -> NoReturn:
        stopped.set()
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _mbps(folder: Path) -> int:
    size = sum(file.stat().st_size for file in folder.iterdir())
    return max(1, round(size / 1e6 / COPY_SECONDS))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
