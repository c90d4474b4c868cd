"""The door that a timer opens: what runs could not put away themselves is put away here.

A run that was terminated, purged or lost its host leaves an account open, or a DaemonSet that looks for
it; whatever this does is decided from documents, never from a run's memory, and may be done twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import azure.durable_functions as df
import azure.functions as func

from activities.storage import settle_account
from entrypoints.claiming import YOUNG
from entrypoints.run_states import RunState
from entrypoints.silence import Silences, is_silent
from entrypoints.task_hub import TaskHub
from entrypoints.threads import in_thread, invoked
from shared.domain import leases
from shared.domain.claims import Claim, Holder
from shared.domain.hubs import may_judge
from shared.domain.leases import AccountLedger
from shared.domain.phases import stamp
from shared.ports import Accounts, Claims, Clusters, FinalError, Ledgers, PassingError

T = TypeVar("T")

EVERY_MINUTE = "0 * * * * *"  # an account must be closed within five of a run's violent end
# What a round may take: the next goes on, so that thousands are gone within an hour and no round is late.
MOST_PURGED, PURGE_SECONDS = 100, 20.0
PURGE_EVERY = timedelta(hours=6)  # what is kept for weeks need not be forgotten to the minute
AT_ONCE = 8  # accounts, and clusters: a quarter of the threads that doors have
FAULTS = (PassingError, FinalError)  # a denied right may be granted: the next round tries again
_logger = logging.getLogger("warmup.janitor")


@dataclass(slots=True, kw_only=True)
class Rounds:
    """What this process has already done; forgetting it costs a second look, no more."""

    purged_at: datetime | None = None
    silences: Silences = field(default_factory=Silences)


@dataclass(frozen=True, slots=True, kw_only=True)
class JanitorPorts:
    """What putting away needs."""

    ledgers: Ledgers
    accounts: Accounts
    claims: Claims
    clusters: Clusters
    retention: timedelta
    clock: Callable[[], datetime]
    rounds: Rounds = field(default_factory=Rounds)


def janitor_doors(ports: JanitorPorts) -> df.Blueprint:
    """Register it."""
    doors = df.Blueprint()

    async def put_away(
        timer: func.TimerRequest, client: df.DurableOrchestrationClient, context: func.Context
    ) -> None:
        """Close accounts, take DaemonSets away and forget runs, where nobody else will."""
        del timer
        with invoked(context):
            await make_round(TaskHub(client), ports)

    on_time = doors.timer_trigger(schedule=EVERY_MINUTE, arg_name="timer", run_on_startup=False)
    on_time(doors.durable_client_input(client_name="client")(put_away))
    return doors


async def make_round(hub: TaskHub, ports: JanitorPorts) -> None:
    """Go round once; what cannot be done now is done by the next round."""

    async def postponable(chore: Callable[[TaskHub, JanitorPorts], Awaitable[None]]) -> None:
        try:
            await chore(hub, ports)
        except FAULTS as fault:
            _logger.warning("janitor chore postponed: %s: %s", chore.__name__, fault)

    try:
        await _side_by_side((_close_accounts, _clear_clusters, _forget_runs), postponable)
    finally:
        await postponable(_end_lost_runs)


async def _side_by_side(things: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """What does not answer keeps none of the others waiting, nor the next round for long.

    Nor does a fault that nobody thought of: it goes up when all the others are done.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def in_slot(thing: T) -> None:
        async with slots:
            await work(thing)

    for outcome in await asyncio.gather(*map(in_slot, things), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _close_accounts(hub: TaskHub, ports: JanitorPorts) -> None:
    async def close(book: AccountLedger) -> None:
        try:
            await _close_account(book, hub, ports)
        except FAULTS:
            _logger.exception("account may still be open: account=%s", book.account.name)

    await _side_by_side(await in_thread(ports.ledgers.all), close)


async def _close_account(book: AccountLedger, hub: TaskHub, ports: JanitorPorts) -> None:
    """Ask about exactly the owners: a list of all runs may be cut short, and then look like death.

    Owners that another task hub answers for are left to its own janitor.

    Runs at work need the ledger for themselves: it is held only where there is something to put away.
    """
    now = ports.clock()
    judged = [owner for owner in book.ledger.owners if may_judge(hub.name, owner.hub, now - owner.since)]
    states = {owner: await hub.find(owner.run_id) for owner in judged}
    dead = frozenset(owner for owner, state in states.items() if state is None or not _lives(state, ports))
    if leases.is_to_settle(book.ledger, dead, ports.clock()):
        settle = partial(settle_account, accounts=ports.accounts, ledgers=ports.ledgers, clock=ports.clock)
        await in_thread(lambda: settle(book.account, dead))


async def _clear_clusters(hub: TaskHub, ports: JanitorPorts) -> None:
    """A claim that outlives its run tells what is still to be taken away, though the hub may know nothing."""

    async def clear(claim: Claim) -> None:
        try:
            await _clear(claim, hub, ports)
        except FAULTS as fault:
            name = claim.database.name
            _logger.warning("run not cleared yet: run_id=%s database=%s %s", claim.run_id, name, fault)

    await _side_by_side(await in_thread(ports.claims.all), clear)


async def _clear(claim: Claim, hub: TaskHub, ports: JanitorPorts) -> None:
    if not may_judge(hub.name, claim.hub, ports.clock() - claim.claimed_at):
        return
    state = await hub.find(claim.run_id, with_input=True)
    if _lives(state, ports) if state else ports.clock() - claim.claimed_at < YOUNG:
        return
    warm = state is not None and state.left_warm_pods
    await in_thread(lambda: _give_up(claim, ports, keep_pods=warm))


def _give_up(claim: Claim, ports: JanitorPorts, *, keep_pods: bool) -> None:
    """The claim goes last: while it is there, a round tries again, or goes on to an older run's pods.

    A run that was purged may have been asked for again since it was judged: that one's claim is another.
    """
    cluster, database, run_id = claim.cluster, claim.database, claim.run_id
    judged = Holder(run_id, claim.claimed_at)
    if not ports.claims.end(cluster, (database,), judged):
        return
    if keep_pods:
        ports.clusters.stop_verifying(cluster, database, run_id)
    elif ports.clusters.remove(cluster, database, run_id):
        _logger.info("took DaemonSet away: run_id=%s database=%s", run_id, database.name)
    ports.claims.drop(cluster, (database,), judged)


def _lives(state: RunState, ports: JanitorPorts) -> bool:
    """Whether it may still do something; one that is lost is dead to us, whatever the hub says."""
    if not ports.rounds.silences.is_lost(state, ports.clock()):
        return state.live
    ports.rounds.silences.lost[state.run_id] = f"nothing was heard of it since {stamp(state.updated_at)}"
    return False


async def _end_lost_runs(hub: TaskHub, ports: JanitorPorts) -> None:
    """What they held was put away as far as it could be; the hub shall not call them live for ever."""

    async def end(lost: tuple[str, str]) -> None:
        run_id, why = lost
        try:
            state = await hub.find(run_id)
            if state is None or not is_silent(state, ports.clock()):  # or one that was begun anew
                ports.rounds.silences.lost.pop(run_id, None)
                return
            _logger.error("ending a lost run: run_id=%s status=%s %s", run_id, state.runtime_status, why)
            await hub.end(run_id, why)
        except PassingError as fault:
            _logger.warning("lost run not ended yet: run_id=%s %s", run_id, fault)

    await _side_by_side(tuple(ports.rounds.silences.lost.items()), end)


async def _forget_runs(hub: TaskHub, ports: JanitorPorts) -> None:
    now = ports.clock()
    if ports.rounds.purged_at is not None and now - ports.rounds.purged_at < PURGE_EVERY:
        return
    old = await hub.over_before(now - ports.retention, MOST_PURGED)
    gone = await _forgotten(old, hub)
    done = gone == len(old) < MOST_PURGED
    if done:
        ports.rounds.purged_at = now
    rest = "no" if done else "yes"
    _logger.info(
        "purged finished runs: count=%d more=%s older_than_days=%d", gone, rest, ports.retention.days
    )


async def _forgotten(run_ids: tuple[str, ...], hub: TaskHub) -> int:
    """How many could be forgotten in the time there is; one that cannot be does not keep the others."""
    gone = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(PURGE_SECONDS):
            for run_id in run_ids:
                try:
                    await hub.forget(run_id)
                except PassingError as fault:
                    _logger.warning("run not purged yet: run_id=%s %s", run_id, fault)
                else:
                    gone += 1
    return gone
