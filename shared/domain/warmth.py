"""How warm a cluster is, from what Kubernetes says now: the card of the dashboard.

A database is Ready only when every targeted node has a Ready pod whose own report says so under the
DaemonSet's present run. What could not be read is said, so that unreachable never looks like cold.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain import looking, naming
from shared.domain.causes import Cause, Kind
from shared.domain.foreign import Json, mapping, number, objects, text
from shared.domain.model import Database, Missing, Mode, StagedDatabase
from shared.domain.observing import Look, NodeStanding, NodeState, left_out, missing_pods, read_pod
from shared.domain.progress import causes_of
from shared.domain.requests import BadRequestError, parse_database
from shared.domain.runs import MissingQuery

MAX_NAMESPACES = 20  # what the dashboard shows
MAX_ERROR = 200
_REFUSED_LATELY = timedelta(minutes=20)  # a controller tries again every 17 at the slowest
_SEARCH_NAMESPACES = "elastic-blast-"
_SETUP_JOBS = "init-ssd-"


class Standing(StrEnum):
    """What a dashboard prints of a database; older ones know no other word."""

    READY = "Ready"
    LOADING = "Loading"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What the API server showed, as its own JSON; `faults` names what it did not show."""

    workspace: Json | None
    vmtouch: Json | None
    daemon_sets: tuple[Json, ...]
    pods: tuple[Json, ...]
    nodes: Mapping[str, bool]  # whether each is Ready; empty where that was not read
    made: Mapping[str, datetime] = field(default_factory=dict)  # when each came to be
    jobs: tuple[Json, ...]
    namespaces: tuple[Json, ...]
    refusals: tuple[Json, ...] = ()  # the controllers' FailedCreate events
    faults: tuple[str, ...]  # each begins with the part that it names, as `pods` or `daemon sets`

    def lacks(self, part: str) -> bool:
        """Whether a part was not read, so that its emptiness says nothing."""
        return any(fault.startswith(part) for fault in self.faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseWarmth:
    """One database on one cluster; ready + failed + active = total."""

    name: str
    molecule: str
    standing: Standing
    nodes_ready: int
    nodes_failed: int
    nodes_active: int
    sources: tuple[str, ...]  # setup | warmup
    run_id: str | None = None
    generation: str | None = None
    source_version: str | None = None
    causes: tuple[Cause, ...] = ()
    staged_generation: str | None = None  # what the container holds now; None where that is not known

    @property
    def stale(self) -> bool | None:
        """Whether the container holds another generation; None where that is not known."""
        known = self.generation is not None and self.staged_generation is not None
        return self.generation != self.staged_generation if known else None

    @property
    def nodes_total(self) -> int:
        """Nodes that should hold it."""
        return self.nodes_ready + self.nodes_failed + self.nodes_active


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmth:
    """The whole card."""

    workspace_ready: int
    workspace_desired: int
    vmtouch_ready: int
    databases: tuple[DatabaseWarmth, ...]
    namespaces: tuple[str, ...]
    error: str  # empty when everything was read

    @property
    def warm(self) -> bool:
        """Whether nodes are prepared at all, by whomever."""
        ready = any(database.standing is Standing.READY for database in self.databases)
        return self.workspace_ready > 0 or self.vmtouch_ready > 0 or ready


def warmth_of(sight: Sighting, now: datetime) -> Warmth:
    """Sum up one sighting."""
    return Warmth(
        workspace_ready=number(_status(sight.workspace), "numberReady"),
        workspace_desired=number(_status(sight.workspace), "desiredNumberScheduled"),
        vmtouch_ready=number(_status(sight.vmtouch), "numberReady"),
        databases=_databases(sight, now),
        namespaces=_searches(sight.namespaces),
        error="; ".join(sight.faults)[:MAX_ERROR],
    )


def unseen(error: str) -> Warmth:
    """What is known of a cluster that does not answer: nothing, and why."""
    return Warmth(
        workspace_ready=0,
        workspace_desired=0,
        vmtouch_ready=0,
        databases=(),
        namespaces=(),
        error=error[:MAX_ERROR],
    )


def missing_in(query: MissingQuery, sight: Sighting) -> Missing:
    """What nodes lack: all of a database, unless their own report says that this generation is whole."""
    warm = {staged: _warm_nodes(staged, sight, query.now) for staged in query.databases}
    lacks = [sum(staged.bytes for staged in warm if node not in warm[staged]) for node in query.nodes]
    return Missing(
        nodes=sum(lack > 0 for lack in lacks), bytes=sum(lacks), most_on_one_node=max(lacks, default=0)
    )


def image_of(daemon_set: Json) -> str:
    """The image that its agents run; empty when it is not of ours."""
    return text(_agent_container(daemon_set), "image")


def staged_places(sight: Sighting) -> tuple[tuple[Database, str], ...]:
    """Each database that we warmed, and the account it came from; what names neither is left out."""
    found = ((_staged_database(each), _account_of(each)) for each in sight.daemon_sets)
    return tuple((database, account) for database, account in found if database and account)


def with_staged(warmth: Warmth, generations: Mapping[str, str]) -> Warmth:
    """The card, with what the container holds now beside what the nodes hold."""
    rows = (replace(row, staged_generation=generations.get(row.name)) for row in warmth.databases)
    return replace(warmth, databases=tuple(rows))


def daemon_set_of(sight: Sighting, name: str) -> Json | None:
    """The DaemonSet that warms one database."""
    return next((found for found in sight.daemon_sets if _database_name(found) == name), None)


def _warm_nodes(staged: StagedDatabase, sight: Sighting, now: datetime) -> frozenset[str]:
    daemon_set = daemon_set_of(sight, staged.database.name)
    if daemon_set is None or _is_released(daemon_set):
        return frozenset()
    notes = mapping(mapping(daemon_set, "metadata"), "annotations")
    if text(notes, naming.GENERATION_ANNOTATION) != staged.generation:
        return frozenset()
    states = _states(daemon_set, sight, now)
    return frozenset(state.node for state in states if state.standing is NodeStanding.READY)


def _staged_database(daemon_set: Json) -> Database | None:
    """An annotation is text that anybody with rights on the cluster may write."""
    notes = mapping(mapping(daemon_set, "metadata"), "annotations")
    try:
        return parse_database(text(notes, naming.DATABASE_ANNOTATION))
    except BadRequestError:
        return None


def _agent_container(daemon_set: Json) -> Json:
    template = mapping(mapping(daemon_set, "spec"), "template")
    containers = objects(mapping(template, "spec"), "initContainers")
    return next((c for c in containers if text(c, "name") == naming.INIT_CONTAINER), {})


def _told_agents(daemon_set: Json) -> dict[str, str]:
    """What its agents are told."""
    return {
        text(entry, "name"): text(entry, "value") for entry in objects(_agent_container(daemon_set), "env")
    }


def _account_of(daemon_set: Json) -> str:
    """An endpoint names its account first in the host, or in the path where it has one."""
    endpoint = _told_agents(daemon_set).get("WARMUP_BLOB_ENDPOINT", "")
    host, _, path = endpoint.removeprefix("https://").partition("/")
    return path.strip("/") or host.partition(".")[0]


def _databases(sight: Sighting, now: datetime) -> tuple[DatabaseWarmth, ...]:
    """Ours and ElasticBLAST's own, one row per name; node truth outweighs a Job's history."""
    rows = {row.name: row for row in _from_jobs(sight.jobs)}
    for daemon_set in sight.daemon_sets:
        row = _from_daemon_set(daemon_set, sight, now)
        also = rows.get(row.name)
        rows[row.name] = _joined(row, also) if also else row
    return tuple(rows[name] for name in sorted(rows))


def _joined(row: DatabaseWarmth, job: DatabaseWarmth) -> DatabaseWarmth:
    return replace(row, molecule=row.molecule or job.molecule, sources=("setup", "warmup"))


def _from_daemon_set(daemon_set: Json, sight: Sighting, now: datetime) -> DatabaseWarmth:
    run_id = looking.run_of(daemon_set)
    notes = mapping(mapping(daemon_set, "metadata"), "annotations")
    row = DatabaseWarmth(
        name=_database_name(daemon_set),
        molecule=text(notes, naming.MOLECULE_ANNOTATION),
        standing=Standing.UNKNOWN,
        nodes_ready=0,
        nodes_failed=0,
        nodes_active=looking.wanted_pods(daemon_set),
        sources=("warmup",),
        run_id=run_id or None,
        generation=text(notes, naming.GENERATION_ANNOTATION) or None,
        source_version=text(notes, naming.SOURCE_VERSION_ANNOTATION) or None,
    )
    if not run_id or sight.lacks("pods") or _is_released(daemon_set):
        return row  # not of ours, or its pods were not seen, or being removed: nobody knows it to be whole
    states = _states(daemon_set, sight, now)
    return _with_states(row, states, settled=looking.is_settled(daemon_set, run_id))


def _is_released(daemon_set: Json) -> bool:
    """Whether its agents take the database away: their Ready means that it is gone."""
    return _told_agents(daemon_set).get("WARMUP_MODE") == Mode.RELEASE.value


def _states(daemon_set: Json, sight: Sighting, now: datetime) -> tuple[NodeState, ...]:
    # Since when a node has been silent is not known here: it is not ready, and nobody's verdict yet.
    silent = {name: now for name, ready in sight.nodes.items() if not ready}
    look = Look(run_id=looking.run_of(daemon_set), now=now, unready=silent, made=sight.made)
    states = tuple(read_pod(pod, look) for pod in looking.pods_of(daemon_set, sight.pods, sight.nodes))
    # Nor since when a pod has been missing: one is when a node joins, and all are while a run replaces them.
    told = looking.failed_creation(daemon_set, sight.refusals, now - _REFUSED_LATELY)
    missing = missing_pods(looking.wanted_pods(daemon_set) - len(states), now, look, told)
    return (*states, *missing, *left_out(looking.left_out_of(daemon_set)))


def _with_states(row: DatabaseWarmth, states: tuple[NodeState, ...], *, settled: bool) -> DatabaseWarmth:
    counts = {kind: sum(state.standing is kind for state in states) for kind in NodeStanding}
    causes = causes_of(row.name, states)
    differ = any(cause.kind is Kind.DIGESTS_DIFFER for cause in causes)
    return replace(
        row,
        standing=Standing.FAILED if differ else _standing(counts, settled=settled),
        nodes_ready=counts[NodeStanding.READY],
        nodes_failed=counts[NodeStanding.FAILED],
        nodes_active=counts[NodeStanding.ACTIVE],
        causes=causes,
    )


def _standing(counts: Mapping[NodeStanding, int], *, settled: bool) -> Standing:
    if counts[NodeStanding.FAILED]:
        return Standing.FAILED
    if counts[NodeStanding.ACTIVE] or not settled:
        return Standing.LOADING
    return Standing.READY if counts[NodeStanding.READY] else Standing.UNKNOWN


def _from_jobs(jobs: Iterable[Json]) -> tuple[DatabaseWarmth, ...]:
    """ElasticBLAST's own set-up: one Job per node, grouped by the database in its environment."""
    rows: dict[str, DatabaseWarmth] = {}
    for job in jobs:
        row = _from_job(job)
        if row is not None:
            rows[row.name] = _added(rows[row.name], row) if row.name in rows else row
    return tuple(replace(row, standing=_job_standing(row)) for row in rows.values())


def _from_job(job: Json) -> DatabaseWarmth | None:
    values = _environment(job)
    name = values.get("ELB_DB", "").rstrip("/").rpartition("/")[2]
    if not name or not text(mapping(job, "metadata"), "name").startswith(_SETUP_JOBS):
        return None
    done = number(_status(job), "succeeded") > 0
    lost = not done and _gave_up(job)
    return DatabaseWarmth(
        name=name,
        molecule=values.get("ELB_DB_MOL_TYPE", ""),
        standing=Standing.UNKNOWN,
        nodes_ready=int(done),
        nodes_failed=int(lost),
        nodes_active=int(not done and not lost),
        sources=("setup",),
    )


def _gave_up(job: Json) -> bool:
    conditions = objects(_status(job), "conditions")
    return any(text(c, "type") == "Failed" and text(c, "status") == "True" for c in conditions)


def _added(row: DatabaseWarmth, more: DatabaseWarmth) -> DatabaseWarmth:
    return replace(
        row,
        nodes_ready=row.nodes_ready + more.nodes_ready,
        nodes_failed=row.nodes_failed + more.nodes_failed,
        nodes_active=row.nodes_active + more.nodes_active,
    )


def _job_standing(row: DatabaseWarmth) -> Standing:
    if row.nodes_active:
        return Standing.LOADING
    return Standing.FAILED if row.nodes_failed else Standing.READY


def _environment(job: Json) -> dict[str, str]:
    template = mapping(mapping(mapping(job, "spec"), "template"), "spec")
    entries = (entry for container in objects(template, "containers") for entry in objects(container, "env"))
    return {text(entry, "name"): text(entry, "value") for entry in entries}


def _database_name(daemon_set: Json) -> str:
    """The exact name; the label is only a key, and all that older DaemonSets have."""
    metadata = mapping(daemon_set, "metadata")
    path = text(mapping(metadata, "annotations"), naming.DATABASE_ANNOTATION)
    return path.rpartition("/")[2] or text(mapping(metadata, "labels"), naming.DATABASE_LABEL)


def _searches(namespaces: Iterable[Json]) -> tuple[str, ...]:
    names = sorted(text(mapping(namespace, "metadata"), "name") for namespace in namespaces)
    return tuple(name for name in names if name.startswith(_SEARCH_NAMESPACES))[:MAX_NAMESPACES]


def _status(thing: Json | None) -> Json:
    return mapping(thing or {}, "status")
