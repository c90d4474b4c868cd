"""Two starts of the same thing are one run: claims, taken against everybody who starts at once.

A claim is written before its run is started. It counts while its run lives, and for a moment before the
task hub has heard of that run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from entrypoints.task_hub import TaskHub
from entrypoints.waiting import within
from shared.domain.claims import Claim, Claimed, Conflict, HeldBy, Holder, judge_claims, taken_over
from shared.domain.hubs import may_judge
from shared.domain.model import Database, WarmupRequest
from shared.ports import Claims, PassingError

YOUNG = timedelta(seconds=60)  # between a claim and its run's first row lie milliseconds; a crash, never
BUDGET_SECONDS = 10.0  # half a dozen small blobs
_ROUNDS = 5  # each lost round means that somebody else won one

V = TypeVar("V")

Held = Mapping[Database, Claim | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    """A run that wants its databases."""

    run_id: str
    request: WarmupRequest
    now: datetime


async def claim_databases(bid: Bid, claims: Claims, hub: TaskHub) -> Claimed | HeldBy | Conflict:
    """Take every database of a bid, or none.

    Raises:
        PassingError: when others keep winning, or claims cannot be read.
    """
    for _ in range(_ROUNDS):
        held = await _in_time(partial(_read, bid, claims))
        verdict = judge_claims(bid.run_id, bid.request.databases, await _live(bid, held, hub))
        if not isinstance(verdict, Claimed):
            await _in_time(partial(_give_up, bid, claims))
            return await _same_purpose(bid, verdict, held, hub)
        if await _in_time(partial(_take, _wanted(bid, hub), held, claims)):
            return verdict
    raise PassingError("others start the same databases at this moment")


def _read(bid: Bid, claims: Claims) -> Held:
    return {database: claims.read(bid.request.cluster, database) for database in bid.request.databases}


def _take(wanted: Sequence[Claim], held: Held, claims: Claims) -> bool:
    """Take all in order, so that of two bids one loses at the first database they share."""
    return all(
        _is_same_start(claim, over) or claims.take(taken_over(claim, over), over)
        for claim, over in ((claim, held[claim.database]) for claim in wanted)
    )


def _give_up(bid: Bid, claims: Claims) -> None:
    """What this bid took, and nothing that its run held before it was purged, or that another try took."""
    claims.drop(bid.request.cluster, bid.request.databases, Holder(bid.run_id, bid.now))


def _is_same_start(claim: Claim, over: Claim | None) -> bool:
    """Whether an earlier try of this start took it; an older one is a purged run's, and tells of pods."""
    if over is None or over.run_id != claim.run_id or over.ended:
        return False
    return claim.claimed_at - over.claimed_at < YOUNG


def _wanted(bid: Bid, hub: TaskHub) -> list[Claim]:
    return [
        Claim(
            cluster=bid.request.cluster,
            database=database,
            run_id=bid.run_id,
            run_databases=bid.request.databases,
            account_name=bid.request.account_name,
            claimed_at=bid.now,
            hub=hub.name,
        )
        for database in bid.request.databases
    ]


async def _live(bid: Bid, held: Held, hub: TaskHub) -> list[Claim]:
    """The claims that count; a run that is over, or never began, holds nothing."""
    found = [claim for claim in held.values() if claim is not None and claim.run_id != bid.run_id]
    counting = [claim for claim in found if not may_judge(hub.name, claim.hub, bid.now - claim.claimed_at)]
    judged = [claim for claim in found if claim not in counting]
    states = {run_id: await hub.find(run_id) for run_id in sorted({claim.run_id for claim in judged})}
    for claim in judged:
        state = states[claim.run_id]
        if state.live if state else bid.now - claim.claimed_at < YOUNG:
            counting.append(claim)
    return counting


async def _same_purpose(bid: Bid, verdict: HeldBy | Conflict, held: Held, hub: TaskHub) -> HeldBy | Conflict:
    """A run that does something else with the databases, or is about to end, is no answer to this bid."""
    if isinstance(verdict, Conflict):
        return verdict
    theirs = [claim for claim in held.values() if claim and claim.run_id == verdict.run_id]
    if any(claim.hub not in ("", hub.name) for claim in theirs):
        return Conflict(
            message=f"run {verdict.run_id} of task hub {theirs[0].hub} holds these databases (another "
            "slot, or another app over the same storage); wait for it, or cancel it there"
        )
    if any(claim.cancelled_by or claim.ended for claim in theirs):
        return Conflict(message=f"run {verdict.run_id} is about to end; start again in a moment")
    state = await hub.find(verdict.run_id, with_input=True)
    mode = state.run.request.mode if state and state.run else bid.request.mode
    if mode is not bid.request.mode:
        return Conflict(
            message=f"run {verdict.run_id} is at these databases ({mode.value}); wait for it, or cancel it"
        )
    accounts = {claim.account_name for claim in theirs}
    if accounts != {bid.request.account_name}:
        return Conflict(
            message=f"run {verdict.run_id} warms these databases from account {', '.join(sorted(accounts))}; "
            "wait for it, or cancel it"
        )
    return verdict


async def _in_time(call: Callable[[], V]) -> V:
    return await within(BUDGET_SECONDS, "the store of claims", call)
