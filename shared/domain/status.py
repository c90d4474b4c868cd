"""What the world reads of a run: `custom_status` while it lasts, `output` when it is over.

Keys and phases are the dashboard's, see `docs/status.md`. However many nodes and however long the logs,
a status stays below `MAX_STATUS_CHARACTERS`: what does not fit is on the nodes' own page.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.causes import Cause
from shared.domain.judging import Ending, Outcome
from shared.domain.model import Missing, StagedDatabase, WarmupPlan, WarmupRequest
from shared.domain.phases import Step, phase_of, stamp
from shared.domain.planning import planned_seconds
from shared.domain.progress import DatabaseProgress, NodeGlance, NodeLog, Observation
from shared.domain.runs import Access, EndedRun, Run, Watching

Json = dict[str, object]

# Azure Storage refuses more than 8,192 UTF-16 characters; a margin for whoever adds a key.
MAX_STATUS_CHARACTERS = 6_000
MAX_OUTPUT_ERROR = 2_000
_MAX_REASON = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Detail:
    """How much of a look is shown."""

    log_lines: int
    logs: int
    nodes: int
    databases: int
    causes: int
    words: int  # characters of a cause's message, and of its remedy


# From all there is to the bare counts and the first cause; the first that fits is shown.
_DETAILS = (
    _Detail(log_lines=20, logs=7, nodes=12, databases=16, causes=6, words=300),
    _Detail(log_lines=8, logs=4, nodes=8, databases=16, causes=6, words=300),
    _Detail(log_lines=3, logs=2, nodes=4, databases=8, causes=6, words=200),
    _Detail(log_lines=1, logs=1, nodes=0, databases=4, causes=3, words=200),
    _Detail(log_lines=0, logs=0, nodes=0, databases=0, causes=1, words=100),
)


def custom_status(run: Run, *, ending: Ending | None = None) -> Json:
    """The run as it stands."""
    head: Json = {
        "phase": phase_of(run.journal, ending.outcome.value if ending else None).value,
        "db": database_names(run.request),
        "cluster": run.request.cluster.name,
        "steps": _steps(run),
    }
    candidates = (head | _look(run.watching, detail) for detail in _DETAILS)
    return next((status for status in candidates if _fits(status)), head | _look(run.watching, _DETAILS[-1]))


def output(run: Run, ending: Ending) -> Json:
    """What the run returns; `error` begins with its cause."""
    result: Json = {
        "status": ending.outcome.value,
        "db": database_names(run.request),
        "cluster": run.request.cluster.name,
        "steps": _steps(run),
    }
    if ending.error:
        result["error"] = ending.error[:MAX_OUTPUT_ERROR]
    if ending.partial:
        result["partial"] = True
    if ending.nodes_kept:
        result["nodes_kept"] = ending.nodes_kept
    return result | _look(run.watching, _DETAILS[1]) | _plan(run.watching) | _intended(run, ending)


def opening_note(request: WarmupRequest, access: Access) -> str:
    """What an operator should know of the opened account."""
    if request.dry_run:
        name = access.account.name
        return f"{name} would be opened first" if access.would_open else f"{name} needs no opening"
    if access.before.is_public:
        return f"{access.account.name} was open already"
    if not access.would_open:
        return f"{access.account.name} needs no opening, and stays as it is"
    return f"{access.account.name} was closed; it is closed again when the last run has ended"


def ended_run(run: Run, run_id: str, ending: Ending, seconds: float) -> EndedRun:
    """The ending as the logs keep it."""
    seen = run.watching.last if run.watching else None
    return EndedRun(
        run_id=run_id,
        status=ending.outcome.value,
        cluster=run.request.cluster.name,
        databases=database_names(run.request),
        error=ending.error[:MAX_OUTPUT_ERROR],
        bytes_fetched=seen.total(lambda p: p.bytes_fetched) if seen else 0,
        seconds=seconds,
    )


def database_names(request: WarmupRequest) -> str:
    """The databases of a run in one string, as `db` has always been."""
    return ",".join(database.name for database in request.databases)


def _fits(status: Mapping[str, object]) -> bool:
    text = json.dumps(status, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode("utf-16-le")) // 2 <= MAX_STATUS_CHARACTERS


def _steps(run: Run) -> dict[str, Json]:
    steps = run.journal.shown()
    if run.grants or run.watching:
        roles = steps[Step.ROLES.value]
        roles["roles_assigned"] = [each.role for each in run.grants if each.outcome in ("granted", "present")]
        roles["results"] = [{"role": each.role, "outcome": each.outcome} for each in run.grants]
    remedies = [grant.remedy for grant in run.grants if grant.remedy]
    if remedies:
        steps[Step.ROLES.value]["remedies"] = remedies
    watching = run.watching
    if watching is None:
        return steps
    if watching.last is not None:
        ready, total = (
            watching.last.total(lambda p: p.nodes_ready),
            watching.last.total(lambda p: p.nodes_total),
        )
        steps[Step.WARMING_UP.value] |= {"ready": ready, "total": total, "poll_attempt": watching.looks}
    steps[Step.POLLING.value]["attempts"] = watching.looks
    return steps


def _look(watching: Watching | None, detail: _Detail) -> Json:
    return _seen(watching.last if watching else None, detail) | _unseen(watching) | _until(watching)


def _until(watching: Watching | None) -> Json:
    return {} if watching is None else {"deadline": stamp(watching.deadline)}


def _unseen(watching: Watching | None) -> Json:
    if watching is None or watching.blind is None:
        return {}
    return {"unseen": {"since": stamp(watching.blind.since), "reason": watching.blind.reason[:_MAX_REASON]}}


def _seen(seen: Observation | None, detail: _Detail) -> Json:
    if seen is None:
        return {
            "nodes_ready": 0,
            "nodes_failed": 0,
            "nodes_active": 0,
            "total_jobs": 0,
            "causes": [],
            "logs": [],
        }
    return {
        **_counts(seen),
        "causes": [_cause(cause, detail.words) for cause in seen.causes[: detail.causes]],
        "logs": [_log(log, detail.log_lines) for log in seen.logs[: detail.logs]],
        "databases": [_database(progress) for progress in seen.databases[: detail.databases]],
        "nodes": [_node(glance) for glance in seen.glances[: detail.nodes]],
    }


def _counts(seen: Observation) -> Json:
    slowest = max((p.eta_seconds for p in seen.databases if p.eta_seconds is not None), default=None)
    return {
        "nodes_ready": seen.total(lambda p: p.nodes_ready),
        "nodes_failed": seen.total(lambda p: p.nodes_failed),
        "nodes_active": seen.total(lambda p: p.nodes_active),
        "total_jobs": seen.total(lambda p: p.nodes_total),
        "bytes_done": seen.total(lambda p: p.bytes_done),
        "bytes_total": seen.total(lambda p: p.bytes_total),
        "bytes_fetched": seen.total(lambda p: p.bytes_fetched),
        "bytes_per_second": seen.total(lambda p: p.bytes_per_second),
        "eta_seconds": slowest,
        "eta_range_seconds": None if slowest is None else [min(slowest, _if_shared(seen, slowest)), slowest],
        "seen_at": stamp(seen.at),
    }


def _if_shared(seen: Observation, slowest: int) -> int:
    """Time left if the slow nodes became as quick as the average: the other end of the range."""
    rate = seen.total(lambda p: p.bytes_per_second)
    left = seen.total(lambda p: p.bytes_total) - seen.total(lambda p: p.bytes_done)
    return left // rate if rate else slowest


def _cause(cause: Cause, words: int) -> Json:
    return {
        "kind": cause.kind.value,
        "message": cause.message[:words],
        "remedy": cause.remedy[:words],
        "count": cause.count,
        "node": cause.node,
    }


def _log(log: NodeLog, lines: int) -> Json:
    shown: Json = {"node": log.node, "state": log.state, "lines": list(log.lines[-lines:]) if lines else []}
    return shown | ({"retrying": list(log.retrying[-lines:])} if lines and log.retrying else {})


def _database(progress: DatabaseProgress) -> Json:
    return {
        "name": progress.database.name,
        "nodes_ready": progress.nodes_ready,
        "nodes_failed": progress.nodes_failed,
        "nodes_active": progress.nodes_active,
        "total_jobs": progress.nodes_total,
        "bytes_done": progress.bytes_done,
        "bytes_total": progress.bytes_total,
        "eta_seconds": progress.eta_seconds,
        "digest": progress.digests[0] if len(progress.digests) == 1 else None,
    }


def _node(glance: NodeGlance) -> Json:
    return {
        "node": glance.node,
        "db": glance.database,
        "state": glance.standing.value,
        "phase": glance.phase,
        "bytes_done": glance.bytes_done,
        "bytes_total": glance.bytes_total,
        "bytes_fetched": glance.bytes_fetched,
        "files_fetched": glance.files_fetched,
        "bytes_per_second": glance.bytes_per_second,
        "eta_seconds": glance.eta_seconds,
        "seconds": glance.seconds,
        "age_seconds": glance.age_seconds,
    }


def _plan(watching: Watching | None) -> Json:
    if watching is None:
        return {}
    plan: WarmupPlan = watching.plan
    return {
        "node_count": plan.node_count,
        "bytes_per_node": plan.bytes_per_node,
        "deadline": stamp(watching.deadline),
        "latest_deadline": stamp(plan.latest_deadline or plan.deadline),
        "generations": [_generation(staged) for staged in plan.databases],
    }


def _intended(run: Run, ending: Ending) -> Json:
    """What the run would have done had it not been a dry one."""
    if ending.outcome is not Outcome.PLANNED or run.watching is None:
        return {}
    plan = run.watching.plan
    return {
        "would_open": list(ending.would_open),
        "would_grant": [f"{each.role} on {each.scope}" for each in run.grants if each.outcome == "lacking"],
        **_lacking(run.request, plan, ending.missing),
    }


def _lacking(request: WarmupRequest, plan: WarmupPlan, missing: Missing | None) -> Json:
    """None: what is staged in a closed account shows only once it is open, or the cluster did not show it."""
    most = missing.most_on_one_node if missing else plan.bytes_per_node
    return {
        "nodes_lacking": missing.nodes if missing else None,
        "bytes_missing": missing.bytes if missing else None,
        "eta_seconds": planned_seconds(request, most) if plan.databases else None,
    }


def _generation(staged: StagedDatabase) -> Json:
    return {
        "name": staged.database.name,
        "generation": staged.generation,
        "source_version": staged.source_version,
        "files": staged.files,
        "bytes": staged.bytes,
        "volumes": staged.volumes,
        "molecule": staged.molecule,
    }
