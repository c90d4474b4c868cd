"""What the dashboards read, from what is known: pure, field names and words as they expect them."""

from collections.abc import Mapping, Sequence

from entrypoints.run_states import RunState
from shared.domain.causes import Cause
from shared.domain.keeping import KEEPER
from shared.domain.model import WarmupRequest
from shared.domain.observing import NodeState
from shared.domain.phases import stamp
from shared.domain.runs import CatalogEntry, DatabaseLook
from shared.domain.status import database_names
from shared.domain.warmth import DatabaseWarmth, Standing, Warmth

Json = dict[str, object]

MAX_ERROR = 2_000


def task_path(run_id: str) -> str:
    """Where a run is polled the Durable way."""
    return f"/api/tasks/{run_id}"


def queued(run_id: str, request: WarmupRequest, *, already_running: bool = False) -> Json:
    """The answer to a start, in every generation's names."""
    answer: Json = {
        "instance_id": run_id,
        "id": run_id,
        "task_id": run_id,
        "db": database_names(request),
        "status": "queued",
        "statusQueryGetUri": task_path(run_id),
    }
    return answer | ({"already_running": True} if already_running else {})


def status_of(state: RunState) -> Json:
    """A run as `warmup/{id}/status` tells it."""
    return {
        "instance_id": state.run_id,
        "runtime_status": state.runtime_status,
        "custom_status": state.custom_status,
        "output": output_of(state),
    }


def task_of(state: RunState) -> Json:
    """A run in Durable's own names; the input is nobody's business."""
    return {
        "name": "warm_databases",
        "instanceId": state.run_id,
        "runtimeStatus": state.runtime_status,
        "input": None,
        "customStatus": state.custom_status,
        "output": output_of(state),
        "createdTime": stamp(state.created_at),
        "lastUpdatedTime": stamp(state.updated_at),
    }


def output_of(state: RunState) -> object:
    """What a run returned; one that was ended from outside gets an object too, its cause first."""
    if not state.ended_from_outside:
        return state.output
    ended = "failed" if state.runtime_status == "Failed" else "cancelled"
    return {"status": ended, "db": _databases_of(state), "error": _cause(state)}


def active_of(states: Sequence[RunState]) -> Json:
    """Every run in flight, the latest first, and that one again where older pages look for it."""
    rows = [_active(state) for state in sorted(states, key=lambda state: state.created_at, reverse=True)]
    first = rows[0] if rows else None
    return {
        "active": bool(rows),
        "instance_id": first["instance_id"] if first else None,
        "warmup": first,
        "warmups": rows,
    }


def card_of(warmth: Warmth) -> Json:
    """A cluster's card; what could not be read is said in `error`, and marked `degraded`."""
    card: Json = {
        "warm": warmth.warm,
        "workspace_ready": warmth.workspace_ready,
        "workspace_desired": warmth.workspace_desired,
        "databases": [_database(database) for database in warmth.databases],
        "vmtouch_ready": warmth.vmtouch_ready,
        "namespaces": list(warmth.namespaces),
        "degraded": bool(warmth.error),
    }
    if warmth.error:
        card |= {"error": warmth.error, "degraded_reason": warmth.error}
    return card


def catalog_of(entries: Sequence[CatalogEntry]) -> Json:
    """The staged databases."""
    return {"databases": [_entry(entry) for entry in entries]}


def node_of(look: DatabaseLook, state: NodeState) -> Json:
    """Everything that is known of one database on one node."""
    report = state.report
    node: Json = {
        "node": state.node,
        "db": look.database.name,
        "pod": state.pod,
        "state": state.standing.value,
        "phase": report.phase if report else "starting",
        "restarts": state.restarts,
        "cause": cause_of(state.cause) if state.cause else None,
    }
    if report is not None:
        node |= {
            "generation": report.generation,
            "files_done": report.files_done,
            "files_total": report.files_total,
            "bytes_done": report.bytes_done,
            "bytes_total": report.bytes_total,
            "bytes_fetched": report.bytes_fetched,
            "files_fetched": report.files_fetched,
            "bytes_per_second": report.bytes_per_second,
            "eta_seconds": report.eta_seconds,
            "seconds": report.seconds,
            "digest": report.digest,
        }
    return node


def cause_of(cause: Cause) -> Json:
    """Why nodes are not ready, and what to do."""
    return {
        "kind": cause.kind.value,
        "message": cause.message,
        "remedy": cause.remedy,
        "count": cause.count,
        "node": cause.node,
    }


def _cause(state: RunState) -> str:
    """Durable wraps the cause in prefixes and an appendix; a dashboard shows the first 100 characters."""
    text = str(state.output or "ended from outside, without a reason").split("\n", 1)[0].strip()
    while " failed: " in text and text.startswith(("Orchestrator function", "Activity function")):
        text = text.partition(" failed: ")[2]
    return text[:MAX_ERROR]


def _databases_of(state: RunState) -> object:
    return database_names(state.run.request) if state.run else _field(state.custom_status, "db")


def _active(state: RunState) -> Json:
    request = state.run.request if state.run else None
    return {
        "instance_id": state.run_id,
        "job_id": state.run_id,
        "db": _databases_of(state),
        "cluster": request.cluster.name if request else _field(state.custom_status, "cluster"),
        "subscription_id": request.cluster.subscription_id if request else None,
        "resource_group": request.cluster.resource_group if request else None,
        "mode": request.mode.value if request else None,
        "phase": _field(state.custom_status, "phase") or "enabling_storage",
        "status": state.runtime_status,
        "auto": request is not None and request.requested_by == KEEPER,
        "started_at": stamp(state.created_at),
    }


def _database(database: DatabaseWarmth) -> Json:
    share = database.nodes_ready / database.nodes_total if database.nodes_total else 0.0
    return {
        "name": database.name,
        "mol_type": database.molecule,
        "status": database.standing.value,
        "nodes_ready": database.nodes_ready,
        "nodes_failed": database.nodes_failed,
        "nodes_active": database.nodes_active,
        "total_jobs": database.nodes_total,
        "progress_pct": 100 if database.standing is Standing.READY else min(99, int(share * 100)),
        "sources": list(database.sources),
        "source_version": database.source_version,
        "generation": database.generation,
        "staged_generation": database.staged_generation,
        "stale": database.stale,
        "instance_id": database.run_id,
        "causes": [cause_of(cause) for cause in database.causes],
    }


def _entry(entry: CatalogEntry) -> Json:
    row: Json = {
        "name": entry.name,
        "container": entry.container,
        "prefix": entry.prefix,
        "source": entry.source,
        "file_count": entry.file_count,
        "total_bytes": entry.total_bytes,
        "last_modified": stamp(entry.last_modified),
        "ready": entry.ready,
    }
    optional = {"source_version": entry.source_version, "downloaded_at": entry.downloaded_at}
    return row | {key: value for key, value in optional.items() if value is not None}


def _field(document: object, key: str) -> object:
    return document.get(key) if isinstance(document, Mapping) else None
