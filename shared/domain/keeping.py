"""What is kept warm without anybody asking, and when a run is started for it.

A database lacks something when the cluster came back without it, when nodes joined that are not warm, or when
a newer generation is staged. A lack is acted on when it has lasted, at a pace that slows with each failure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.causes import Kind
from shared.domain.model import Cluster, Database
from shared.domain.requests import BadRequestError, parse_account, parse_cluster, parse_database
from shared.domain.warmth import DatabaseWarmth, Standing, Warmth

KEEPER = "keep-warm"  # who asked, where a run's `requested_by` is an object id otherwise

# A node that joins where the account is open warms by itself; one that is replaced may be gone again.
GRACE = timedelta(minutes=5)
REST = timedelta(minutes=10)  # between two runs, so that nodes that come one by one share one
TOLERATED_FAILURES = 2  # in a row, before the rest grows
LONGEST_REST = timedelta(hours=12)  # then twice a day, until somebody cures the cause
_FORM = "subscription/group/cluster=account:database+database; …"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWarm:
    """Databases that a cluster shall always hold."""

    cluster: Cluster
    account_name: str
    databases: tuple[Database, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run that was started to keep something warm."""

    began_at: datetime
    ended_at: datetime | None  # None while it lives
    succeeded: bool = False


def parse_kept_warm(text: str) -> tuple[KeptWarm, ...]:
    """Read the setting.

    >>> [kept] = parse_kept_warm("11111111-2222-3333-4444-555555555555/rg/aks=acct:core_nt+custom_db/mine")
    >>> kept.cluster.name, kept.account_name, [database.name for database in kept.databases]
    ('aks', 'acct', ['core_nt', 'mine'])

    Raises:
        BadRequestError: naming the entry and the rule it breaks.
    """
    found = tuple(_parse_entry(entry.strip()) for entry in text.split(";") if entry.strip())
    if len({kept.cluster for kept in found}) < len(found):
        raise BadRequestError("a cluster is named twice; put its databases into one entry")
    return found


def lacking(kept: KeptWarm, warmth: Warmth, staged: Mapping[Database, str]) -> dict[Database, str]:
    """What each database lacks, in words; one that lacks nothing is absent.

    `staged` holds the generations that are known; a container that cannot be read now says nothing.
    """
    rows = {row.name: row for row in warmth.databases}
    found = {database: _lack(rows.get(database.name), staged.get(database)) for database in kept.databases}
    return {database: lack for database, lack in found.items() if lack}


def is_rested(past: Sequence[PastRun], now: datetime) -> bool:
    """Whether another run may start: none lives, and the last one is over for long enough."""
    newest_first = sorted(past, key=lambda run: run.began_at, reverse=True)
    if any(run.ended_at is None for run in newest_first):
        return False
    failures = next((n for n, run in enumerate(newest_first) if run.succeeded), len(newest_first))
    ended = max((run.ended_at for run in past if run.ended_at is not None), default=None)
    return ended is None or now - ended >= rest_after(failures)


def rest_after(failures: int) -> timedelta:
    """How long to leave a cluster alone after so many failures in a row.

    >>> [str(rest_after(failures)) for failures in (0, 2, 3, 99)]
    ['0:10:00', '0:10:00', '0:20:00', '12:00:00']
    """
    longer: int = 2 ** min(10, max(0, failures - TOLERATED_FAILURES))
    return min(LONGEST_REST, REST * longer)


def _parse_entry(entry: str) -> KeptWarm:
    place, equals, what = entry.partition("=")
    account, colon, names = what.partition(":")
    parts = [part.strip() for part in place.split("/")]
    if not equals or not colon or len(parts) != 3:  # noqa: PLR2004 - subscription, group, cluster
        raise BadRequestError(f"{entry[:80]!r} is not of the form {_FORM}")
    fields = dict(zip(("subscription_id", "resource_group", "aks_cluster_name"), parts, strict=True))
    databases = {parse_database(name.strip()) for name in names.split("+")}
    return KeptWarm(
        cluster=parse_cluster(fields),
        account_name=parse_account({**fields, "storage_account": account.strip()}).name,
        databases=tuple(sorted(databases, key=lambda database: database.path)),
    )


def _lack(row: DatabaseWarmth | None, staged: str | None) -> str:
    if row is None or "warmup" not in row.sources:
        return "no node holds it"
    if row.standing is Standing.READY:
        return "a newer generation is staged" if staged not in (None, row.generation) else ""
    silent = sum(cause.count for cause in row.causes if cause.kind is Kind.NODE_NOT_READY)
    cold = row.nodes_failed + row.nodes_active - silent
    return f"{cold} of {row.nodes_total} nodes are not warm" if cold > 0 else ""
