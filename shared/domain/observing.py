"""What one look at the pods says of each node: ready, active or failed, and why.

Pods come as the API server's own JSON and are read as a stranger's. A pod counts only under the id of
the run that looks: a Ready pod of yesterday's run says nothing about today's bytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain import naming
from shared.domain.causes import PASSING, PATIENCE, PULL_PATIENCE, Cause, Kind, cause_of
from shared.domain.foreign import Json, mapping, moment, number, objects, text
from shared.domain.model import Database
from shared.domain.reporting import AgentReport, parse_report

_IMAGE_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "RegistryUnavailable",
}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_NEVER_PASSING = {"ErrImageNeverPull", "InvalidImageName"}
_CRASHES_TOLERATED = 3  # Kubernetes restarts with growing pauses: the fourth crash is a habit
_CLOCKS_DIFFER = timedelta(minutes=2)  # a node's and the API server's, at most
_GRACE = timedelta(seconds=60)  # a controller that can create a pod creates one within seconds
_REFUSALS = ("forbidden", "denied the request")  # the API server's own word, and a webhook's
# What withholds a pod without being a policy: it may pass, and has a cure of its own.
_WITHHELD = (
    ("failed calling webhook", "mend the admission webhook it names, or have it ignore failures"),
    ("exceeded quota", f"raise the ResourceQuota of namespace {naming.NAMESPACE}, or wait for room in it"),
)
_UNNAMED = "(unnamed)"  # a pod that does not exist is on no node


class NodeStanding(StrEnum):
    """The three kinds of node; every targeted node is exactly one of them."""

    READY = "ready"  # verified every byte, under this run's id
    ACTIVE = "active"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node and one database, as last seen."""

    node: str
    pod: str
    pod_uid: str
    standing: NodeStanding
    report: AgentReport | None
    restarts: int
    running: bool  # its init container runs now, so its log grows
    cause: Cause | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Whose pods count, and when this is."""

    run_id: str
    now: datetime
    unready: Mapping[str, datetime] = field(default_factory=dict)  # nodes that do not answer, and since when
    volume_faults: Mapping[str, str] = field(default_factory=dict)  # pod uid: why its volumes do not mount
    made: Mapping[str, datetime] = field(default_factory=dict)  # nodes, and when they came to be


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPods:
    """Pods of a database that are still to be created."""

    database: Database
    count: int
    since: datetime  # when it was last another number: Kubernetes does not say


def still_missing(
    database: Database, count: int, before: Iterable[MissingPods], now: datetime
) -> MissingPods | None:
    """What is missing now, in the light of the last look; None where every node has its pod.

    A controller makes a thousand pods in minutes: for as long as their number changes it is at work.
    """
    if count <= 0:
        return None
    now_missing = MissingPods(database=database, count=count, since=now)
    return next((known for known in before if replace(known, since=now) == now_missing), now_missing)


def read_pod(pod: Json, look: Look, live: AgentReport | None = None) -> NodeState:
    """Read one pod; `live` is the last report in its log, where that was read."""
    metadata, spec, status = (mapping(pod, key) for key in ("metadata", "spec", "status"))
    init = _init_status(status)
    report = _own(_newest_report(init, live), look)
    state = NodeState(
        node=text(spec, "nodeName") or _pinned_node(spec),
        pod=text(metadata, "name"),
        pod_uid=text(metadata, "uid"),
        standing=NodeStanding.ACTIVE,
        report=report,
        restarts=number(init, "restartCount"),
        running=bool(mapping(mapping(init, "state"), "running")),
        cause=None,
    )
    if text(mapping(metadata, "annotations"), naming.RUN_ANNOTATION) != look.run_id:
        return replace(state, running=False)  # a pod of an earlier run, about to be replaced
    if text(metadata, "deletionTimestamp"):
        return _with_cause(replace(state, report=None, running=False), {"metadata": metadata}, look)
    if _is_older_than_its_node(state.node, init, look):
        return replace(state, report=None, running=False)  # its disk may be another: the kubelet looks again
    if _is_ready(status) and report is not None and report.phase == "ready" and report.error is None:
        return replace(state, standing=NodeStanding.READY)
    return _with_cause(state, pod, look)


def _is_older_than_its_node(node: str, init: Json, look: Look) -> bool:
    """Whether what the pod tells was written before its node was made, under a name that came back."""
    ended, made = mapping(mapping(init, "state"), "terminated"), look.made.get(node)
    finished = moment(text(ended, "finishedAt"))
    return made is not None and finished is not None and finished < made - _CLOCKS_DIFFER


def missing_pods(count: int, since: datetime, look: Look, told: str = "") -> tuple[NodeState, ...]:
    """Nodes that should have a pod and have none: named, and failed once that is no start-up matter.

    `told` is what the controller heard when it last tried: against a refusal no patience helps.
    """
    return (_missing_pod(since, look, told),) * max(0, count)


def _missing_pod(since: datetime, look: Look, told: str) -> NodeState:
    cure = next((cure for words, cure in _WITHHELD if words in told), "")
    if not cure and any(word in told for word in _REFUSALS):
        return _nowhere(NodeStanding.FAILED, cause_of(Kind.POD_REFUSED, told, _UNNAMED))
    overdue = look.now - since > _GRACE
    standing = NodeStanding.FAILED if overdue else NodeStanding.ACTIVE
    if not told and not overdue:
        return _nowhere(standing, None)
    message = told or "the DaemonSet has no pod on a node it targets"
    return _nowhere(standing, cause_of(Kind.POD_MISSING, message, _UNNAMED, cure))


def left_out(count: int) -> tuple[NodeState, ...]:
    """Nodes that a run took its pods off when it ended, since they were not warm."""
    message = "its run ended before the node was warm, and took its pod away"
    cause = cause_of(Kind.POD_MISSING, message, _UNNAMED, remedy="start again")
    return (_nowhere(NodeStanding.FAILED, cause),) * count


def daemonset_gone() -> NodeState:
    """What stands for all nodes of a DaemonSet that somebody deleted."""
    message = "the DaemonSet was deleted while its run watched it"
    return _nowhere(NodeStanding.FAILED, cause_of(Kind.POD_MISSING, message, _UNNAMED, remedy="start again"))


def _nowhere(standing: NodeStanding, cause: Cause | None) -> NodeState:
    return NodeState(
        node=_UNNAMED,
        pod="",
        pod_uid="",
        standing=standing,
        report=None,
        restarts=0,
        running=False,
        cause=cause,
    )


def _with_cause(state: NodeState, pod: Json, look: Look) -> NodeState:
    silent_since = look.unready.get(state.node)
    if silent_since is not None:
        cause = cause_of(Kind.NODE_NOT_READY, "the node does not answer", state.node)
        return _judged(state, cause, final=look.now - silent_since > PATIENCE)
    found = _reported(state) or _kubernetes_says(state, pod) or _unmounted(state, look)
    if found is None:
        return state
    if state.running and state.report is not None and state.report.phase != "failed":
        return _judged(state, found, final=False)  # what the agent itself waits out: shown, not judged
    since = _last_changed(pod)
    lasting = since is not None and look.now - since > _patience(found, pod)
    final = found.kind not in PASSING or _hopeless(pod) or state.restarts > _CRASHES_TOLERATED
    return _judged(state, found, final=final or (lasting and not state.running))


def _patience(found: Cause, pod: Json) -> timedelta:
    """An image that is not there needs no role to be seen missing."""
    waitings = (mapping(mapping(each, "state"), "waiting") for each in _containers(mapping(pod, "status")))
    messages = (text(waiting, "message") for waiting in waitings)
    absent = any("not found" in message for message in messages)
    return PULL_PATIENCE if found.kind is Kind.IMAGE_PULL and not absent else PATIENCE


def _judged(state: NodeState, cause: Cause, *, final: bool) -> NodeState:
    return replace(state, cause=cause, standing=NodeStanding.FAILED if final else NodeStanding.ACTIVE)


def _unmounted(state: NodeState, look: Look) -> Cause | None:
    message = look.volume_faults.get(state.pod_uid)
    return None if message is None or state.running else cause_of(Kind.VOLUME, message, state.node)


def _reported(state: NodeState) -> Cause | None:
    report = state.report
    if report is None:
        return None
    if report.error is not None:
        return cause_of(report.error, report.message or report.error.value, state.node, report.remedy)
    return None


def _kubernetes_says(state: NodeState, pod: Json) -> Cause | None:
    status = mapping(pod, "status")
    if text(status, "reason") == "Evicted":
        return cause_of(Kind.EVICTED, text(status, "message") or "the pod was evicted", state.node)
    if text(status, "reason") == "NodeLost" or _node_gone(status):
        return cause_of(Kind.NODE_NOT_READY, "the node does not answer", state.node)
    return _waiting(state, status) or _crash(state, status) or _unschedulable(state, status)


def _containers(status: Json) -> list[Json]:
    return [_init_status(status), *objects(status, "containerStatuses")]


def _waiting(state: NodeState, status: Json) -> Cause | None:
    for container in _containers(status):
        waiting = mapping(mapping(container, "state"), "waiting")
        reason, message = text(waiting, "reason"), text(waiting, "message")
        if reason in _IMAGE_REASONS:
            image = text(container, "image")
            return cause_of(Kind.IMAGE_PULL, f"{reason}: the image {image} cannot be pulled", state.node)
        if reason in _CONFIG_REASONS:
            return cause_of(Kind.CONTAINER_CONFIG, f"{reason}: {message}", state.node)
    return None


def _crash(state: NodeState, status: Json) -> Cause | None:
    init = _init_status(status)
    for where in ("state", "lastState"):
        ended = mapping(mapping(init, where), "terminated")
        reason, code = text(ended, "reason"), number(ended, "exitCode")
        if reason == "OOMKilled":  # also with exit code 0, when the kill hit a child
            return cause_of(Kind.OUT_OF_MEMORY, "the download was killed for want of memory", state.node)
        if ended and code != 0:
            return cause_of(Kind.CRASHED, f"the download ended with exit code {code} ({reason})", state.node)
    return None


def _unschedulable(state: NodeState, status: Json) -> Cause | None:
    for condition in objects(status, "conditions"):
        if text(condition, "reason") == "Unschedulable":
            return cause_of(
                Kind.UNSCHEDULABLE, text(condition, "message") or "no room for the pod", state.node
            )
    return None


def _last_changed(pod: Json) -> datetime | None:
    """When the pod came to be as it is: trouble that began late has not lasted, however old the pod."""
    status = mapping(pod, "status")
    init = _init_status(status)
    attempts = (mapping(init, "state"), mapping(init, "lastState"))
    texts = [
        text(mapping(pod, "metadata"), "creationTimestamp"),
        *(text(mapping(attempt, "terminated"), "finishedAt") for attempt in attempts),
        *(text(condition, "lastTransitionTime") for condition in objects(status, "conditions")),
    ]
    return max((when for when in map(moment, texts) if when is not None), default=None)


def _hopeless(pod: Json) -> bool:
    init = _init_status(mapping(pod, "status"))
    return text(mapping(mapping(init, "state"), "waiting"), "reason") in _NEVER_PASSING


def _node_gone(status: Json) -> bool:
    ready = (c for c in objects(status, "conditions") if text(c, "type") == "Ready")
    return any(text(c, "reason") in ("NodeNotReady", "NodeLost") for c in ready)


def _is_ready(status: Json) -> bool:
    return any(
        text(condition, "type") == "Ready" and text(condition, "status") == "True"
        for condition in objects(status, "conditions")
    )


def _newest_report(init: Json, live: AgentReport | None) -> AgentReport | None:
    """A running attempt speaks for itself, unless the one before it failed for good."""
    ended = _final_report(init)
    passing = ended is None or ended.error is None or ended.error in PASSING
    if live is not None and passing and mapping(mapping(init, "state"), "running"):
        return live
    return ended or live


def _final_report(init: Json) -> AgentReport | None:
    for where in ("state", "lastState"):
        message = text(mapping(mapping(init, where), "terminated"), "message")
        report = parse_report(message) if message else None
        if report is not None:
            return report
    return None


def _own(report: AgentReport | None, look: Look) -> AgentReport | None:
    return report if report is not None and report.run_id == look.run_id else None


def _init_status(status: Json) -> Json:
    named = (c for c in objects(status, "initContainerStatuses") if text(c, "name") == naming.INIT_CONTAINER)
    return next(named, {})


def _pinned_node(spec: Json) -> str:
    """A DaemonSet's pod names its node in an affinity before it is bound."""
    affinity = mapping(
        mapping(mapping(spec, "affinity"), "nodeAffinity"), "requiredDuringSchedulingIgnoredDuringExecution"
    )
    for term in objects(affinity, "nodeSelectorTerms"):
        for matched in objects(term, "matchFields"):
            values = matched.get("values")
            if isinstance(values, list) and values:
                return str(values[0])[:253]
    return ""
