"""Two runs and the janitor at one account, in every order that the ledger's lease permits.

A page of the ledger is held from its first word to its last, so that opening, closing, and the janitor's
reading and settling each happen at once; between them anybody else may come first. What happens when a
holder dies half way is told in `tests/stories/test_ledger_model.py`.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest
from testkit import builders as a
from testkit.memory_ports import MemoryClaims, Stage
from testkit.telling import Clock
from testkit.world import FOUND, RETENTION, Accounts, Books, Clusters, HubClient, instance

from activities.storage import close_access, open_access
from entrypoints.janitor import JanitorPorts, make_round
from entrypoints.task_hub import TaskHub
from shared.domain.leases import Ledger
from shared.domain.refusals import Refusal
from shared.domain.runs import AccountQuery, Holdings, OpeningOrder

RUNS = ("run1", "run2")
# What a run does at the account: a terminated one leaves without closing, and what it had in flight may
# still come after its end; an activity may run twice, whenever.
PLAIN = ("open", "close")
LIVES = (PLAIN, ("open", "end"), ("end", "open"))
ACTIVE_TWICE = (("open", "close", "open"), ("open", "open", "close"))
PAIRS = (*combinations_with_replacement(LIVES, 2), *((PLAIN, life) for life in ACTIVE_TWICE))
JANITOR = "janitor"
JANITORS_TURNS = 4  # read the ledger, ask about one run, ask about the other, settle
LONG = timedelta(minutes=6)


def claims_of(folder: Path) -> MemoryClaims:
    """Each run holds a database of its own for as long as this lasts: only the ledger may refuse it."""
    claims = MemoryClaims(Stage(folder))
    for run_id in RUNS:
        database = replace(a.DATABASE, name=run_id)
        assert claims.take(a.claim(run_id, database), over=None)
    return claims


class InlineExecutor(ThreadPoolExecutor):
    """Runs at once what is meant for a thread, so that nothing moves but what is told to."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class PausingHub(HubClient):
    """A hub that knows two runs, and lets others pass before and after each of its answers."""

    def __init__(self, clock: Clock, pause: timedelta) -> None:
        super().__init__()
        self.live = set(RUNS)
        self.turn: asyncio.Future[None] | None = None
        self.stands_still = asyncio.Event()
        self._clock = clock
        self._pause = pause

    async def instance(self, run_id: str) -> Mapping[str, object] | None:
        if self.turn is None:
            await self._let_others_pass()
        found = instance(run_id, "Running" if run_id in self.live else "Terminated", self._clock.now)
        await self._let_others_pass()
        return found

    async def _let_others_pass(self) -> None:
        self.turn = asyncio.get_running_loop().create_future()
        self.stands_still.set()
        await self.turn
        self._clock.now += self._pause


class Sharing:
    """Two runs and a janitor, each taking a step when it is its turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path, pause: timedelta) -> None:
        self.clock = Clock()
        self.ledgers = Books()
        self.accounts = Accounts(self.ledgers)
        self.hub = PausingHub(self.clock, pause)
        self.claims = claims_of(folder)
        self._inside: set[str] = set()
        self._left: set[str] = set()
        self._loop = loop
        self._round: asyncio.Task[None] | None = None
        self._janitor = JanitorPorts(
            ledgers=self.ledgers,
            accounts=self.accounts,
            claims=MemoryClaims(Stage(folder)),  # its other chore is no matter here
            clusters=Clusters(self.clock, frozenset()),
            retention=RETENTION,
            clock=self.clock,
        )

    def take_turn(self, run_id: str, verb: str) -> None:
        query = AccountQuery(
            subscription_id=a.SUBSCRIPTION, name=a.ACCOUNT.name, resource_group=None, run_id=run_id
        )
        if verb == "open":
            self._open(query)
            return
        self._inside.discard(run_id)
        if verb == "close":
            close_access(query, accounts=self.accounts, ledgers=self.ledgers, clock=self.clock)
            self._left.add(run_id)
        self.hub.live.discard(run_id)

    def _open(self, query: AccountQuery) -> None:
        """A run may open once, again, or when it is over; after it has left, it must not."""
        database = replace(a.DATABASE, name=query.run_id)
        order = OpeningOrder(
            query=query,
            holdings=Holdings(cluster=a.CLUSTER, databases=(database,), run_id=query.run_id),
        )
        answer = open_access(
            order, accounts=self.accounts, ledgers=self.ledgers, claims=self.claims, clock=self.clock
        )
        assert isinstance(answer, Refusal) or query.run_id not in self._left, "opened after its end"
        self._inside |= {query.run_id} & self.hub.live

    def take_janitors_turn(self) -> None:
        """Let it go on until it stands still again; one that has gone home does nothing."""
        if self._round is None:
            self._round = self._loop.create_task(make_round(TaskHub(self.hub), self._janitor))
            self._round.add_done_callback(lambda _round: self.hub.stands_still.set())
        if self._round.done():
            return
        self.hub.stands_still.clear()
        if self.hub.turn is not None:
            self.hub.turn.set_result(None)
        self._loop.run_until_complete(self.hub.stands_still.wait())

    def check(self) -> None:
        if self._inside:
            assert self.accounts.network(a.ACCOUNT).is_public, "closed under a live run"

    def check_end(self) -> None:
        """Whoever is left is dead; the next round finds them."""
        for _ in range(JANITORS_TURNS):
            self.take_janitors_turn()
        self.clock.now += LONG
        self._round, self.hub.turn = None, None
        for _ in range(JANITORS_TURNS):
            self.take_janitors_turn()
        assert self._round is not None
        assert self._round.done()
        assert self.accounts.network(a.ACCOUNT) == FOUND
        assert replace(self.ledgers.of(a.ACCOUNT.name), departed=()) == Ledger()


def orders(left: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Every order in which each takes all its turns."""
    if not any(left.values()):
        yield ()
    for who in (each for each, turns in left.items() if turns):
        for rest in orders(left | {who: left[who] - 1}):
            yield (who, *rest)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(InlineExecutor(1))
    yield loop
    loop.close()


@pytest.mark.parametrize("pause", [timedelta(0), timedelta(minutes=3)], ids=["quick", "frozen for minutes"])
@pytest.mark.parametrize("lives", PAIRS)
def test_no_order_closes_under_a_live_run_or_forgets_to_close(
    lives: tuple[tuple[str, ...], ...],
    pause: timedelta,
    loop: asyncio.AbstractEventLoop,
    tmp_path: Path,
) -> None:
    turns = {run_id: len(verbs) for run_id, verbs in zip(RUNS, lives, strict=True)}
    for order in orders(turns | {JANITOR: JANITORS_TURNS}):
        sharing = Sharing(loop, tmp_path, pause)
        verbs = {run_id: iter(each) for run_id, each in zip(RUNS, lives, strict=True)}
        for who in order:
            if who == JANITOR:
                sharing.take_janitors_turn()
            else:
                sharing.take_turn(who, next(verbs[who]))
            sharing.check()
        sharing.check_end()
