"""Which run holds a database on a cluster: two starts of the same thing are one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.model import Cluster, Database
from shared.domain.refusals import Reason, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One database of one cluster, held by one run."""

    cluster: Cluster
    database: Database
    run_id: str
    run_databases: tuple[Database, ...]
    account_name: str
    claimed_at: datetime
    cancelled_by: str | None = None  # the object id of who asked the run to end
    hub: str = ""  # the task hub that answers for the run
    after: tuple[str, ...] = ()  # dead runs it was taken from, the last one last: their pods may be there yet
    ended: bool = False  # whether the run's pods are being put away: it may write none any more


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose claim is meant: a run's, whenever it took it, or only the one that it took at a moment.

    A run that was purged and asked for again has had two.
    """

    run_id: str
    claimed_at: datetime | None = None

    def holds(self, claim: Claim) -> bool:
        """Whether a claim is meant."""
        return claim.run_id == self.run_id and self.claimed_at in (None, claim.claimed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """All databases are this run's: go on."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBy:
    """One live run already covers everything that was asked for."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Some of it is held by other runs, none of which covers it all."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a run's claims tell it, whenever it is about to do or conclude something."""

    cancelled: Refusal | None  # somebody asked it to end
    lost: Refusal | None  # a database is not its own any more
    hub: str = ""  # the task hub that answers for it

    @property
    def refusal(self) -> Refusal | None:
        """Why it may not go on."""
        return self.cancelled or self.lost


def taken_over(claim: Claim, over: Claim | None) -> Claim:
    """Remember whose pods may be left: the new run may end before it writes its own over them."""
    return claim if over is None else replace(claim, after=(*over.after, over.run_id))


def given_back(claim: Claim) -> Claim | None:
    """What a dropped claim becomes: the dead run's that it was taken from, for the janitor to put away."""
    if not claim.after:
        return None
    return replace(claim, run_id=claim.after[-1], after=claim.after[:-1], cancelled_by=None, ended=True)


def hold_of(run_id: str, held: Mapping[Database, Claim | None]) -> Hold:
    """Read it off the claims on a run's databases, whoever holds them now."""
    found = {each: claim for each, claim in held.items() if claim is not None and claim.run_id == run_id}
    ours = {each: claim for each, claim in found.items() if not claim.ended}
    asked = (cancelled(claim.cancelled_by) for claim in ours.values() if claim.cancelled_by is not None)
    lost = (_lost(run_id, each) for each in held if each not in ours)
    hubs = (claim.hub for claim in ours.values())
    return Hold(cancelled=next(asked, None), lost=next(lost, None), hub=next(hubs, ""))


def cancelled(by: str) -> Refusal:
    """Whoever asked is named by an object id."""
    return Refusal(
        reason=Reason.CANCELLED,
        message=f"cancelled by {by}",
        remedy="start again: what was copied is kept",
    )


def judge_claims(
    run_id: str, wanted: Sequence[Database], held: Sequence[Claim]
) -> Claimed | HeldBy | Conflict:
    """Decide from the claims of live runs on the wanted databases."""
    others = [claim for claim in held if claim.run_id != run_id]
    if not others:
        return Claimed(run_id=run_id)
    runs = {claim.run_id: claim for claim in others}
    covering = [claim for claim in runs.values() if set(wanted) <= set(claim.run_databases)]
    if len(runs) == 1 and covering:
        return HeldBy(run_id=covering[0].run_id)
    return Conflict(message=_conflict(wanted, tuple(runs.values())))


def _lost(run_id: str, database: Database) -> Refusal:
    return Refusal(
        reason=Reason.CLAIM_LOST,
        message=f"run {run_id} no longer holds database {database.name!r}",
        remedy="start again, unless another run warms it now",
    )


def _conflict(wanted: Sequence[Database], runs: tuple[Claim, ...]) -> str:
    told = "; ".join(
        f"run {claim.run_id} warms {', '.join(database.name for database in claim.run_databases)}"
        for claim in runs
    )
    asked = ", ".join(database.name for database in wanted)
    return f"{asked} cannot be one run now: {told}; wait for them, or start the databases one by one"
