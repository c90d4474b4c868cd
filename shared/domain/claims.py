"""Which run holds a database on a cluster: two starts of the same thing are one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.model import Cluster, Database


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
    """What a run's claims tell it at each of its looks."""

    cancelled_by: str | None  # the object id of who asked it to end
    lost: Database | None  # the first one that is not its own any more

    @property
    def is_sound(self) -> bool:
        """Whether it may go on."""
        return self.cancelled_by is None and self.lost is None


def hold_of(run_id: str, held: Mapping[Database, Claim | None]) -> Hold:
    """Read it off the claims on a run's databases, whoever holds them now."""
    ours = {each: claim for each, claim in held.items() if claim is not None and claim.run_id == run_id}
    asked = (claim.cancelled_by for claim in ours.values() if claim.cancelled_by is not None)
    return Hold(cancelled_by=next(asked, None), lost=next((each for each in held if each not in ours), None))


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


def _conflict(wanted: Sequence[Database], runs: tuple[Claim, ...]) -> str:
    told = "; ".join(
        f"run {claim.run_id} warms {', '.join(database.name for database in claim.run_databases)}"
        for claim in runs
    )
    asked = ", ".join(database.name for database in wanted)
    return f"{asked} cannot be one run now: {told}; wait for them, or start the databases one by one"
