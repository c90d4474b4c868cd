"""What lists of Kubernetes objects say together: whose pods these are, what is missing, what to read next."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from shared.domain import naming
from shared.domain.causes import Kind
from shared.domain.foreign import Json, mapping, moment, number, objects, text
from shared.domain.observing import NodeStanding, NodeState

MAX_BUSY_LOGS = 32  # read in one look; the others show what they said last
MAX_FAILING_LOGS = 6  # one per cause, as many as a status shows
# Causes under which no container ever ran, so that there is no log.
_SILENT = frozenset(
    {Kind.IMAGE_PULL, Kind.CONTAINER_CONFIG, Kind.UNSCHEDULABLE, Kind.NODE_NOT_READY, Kind.VOLUME}
)


def pods_of(daemonset: Json, pods: Iterable[Json], nodes: Mapping[str, bool]) -> tuple[Json, ...]:
    """One pod per living node: this DaemonSet's newest, a leaving one only for want of another."""
    owner = uid_of(daemonset)
    newest: dict[object, Json] = {}
    for pod in sorted((pod for pod in pods if _owned_by(pod, owner)), key=_age_rank):
        node = mapping(pod, "spec").get("nodeName")
        if node is None or not nodes or node in nodes:
            newest[node or uid_of(pod)] = pod
    return tuple(newest.values())


def is_settled(daemonset: Json, run_id: str) -> bool:
    """Whether the controller has counted the template of this run."""
    metadata, status = mapping(daemonset, "metadata"), mapping(daemonset, "status")
    template = mapping(mapping(mapping(daemonset, "spec"), "template"), "metadata")
    ours = mapping(template, "annotations").get(naming.RUN_ANNOTATION) == run_id
    return ours and number(status, "observedGeneration") >= number(metadata, "generation")


def wanted_pods(daemonset: Json) -> int:
    """On how many nodes the controller wants a pod."""
    return number(mapping(daemonset, "status"), "desiredNumberScheduled")


def name_of(item: Json) -> str:
    """An object's name."""
    return str(mapping(item, "metadata").get("name") or "")


def uid_of(item: Json) -> str:
    """An object's uid: a name may come back, a uid never does."""
    return str(mapping(item, "metadata").get("uid") or "")


def is_leaving(item: Json) -> bool:
    """Whether somebody has deleted an object that is still there."""
    return bool(mapping(item, "metadata").get("deletionTimestamp"))


def is_owned(item: Json) -> bool:
    """Whether it goes when another object goes."""
    return bool(objects(mapping(item, "metadata"), "ownerReferences"))


def run_of(item: Json) -> str:
    """The run that wrote an object."""
    return str(mapping(mapping(item, "metadata"), "annotations").get(naming.RUN_ANNOTATION) or "")


def made_in(table: Json) -> dict[str, datetime]:
    """When each node of a printed table came to be: a node that is replaced comes back under its name."""
    rows = (mapping(mapping(row, "object"), "metadata") for row in objects(table, "rows"))
    made = {text(row, "name"): moment(text(row, "creationTimestamp")) for row in rows}
    return {name: when for name, when in made.items() if when is not None}


def nodes_in(table: Json) -> dict[str, bool]:
    """Every node of a printed table, and whether it is Ready: a thousandth of the nodes themselves."""
    columns = [column.get("name") for column in objects(table, "columnDefinitions")]
    if "Name" not in columns or "Status" not in columns:
        return {}
    name, status = columns.index("Name"), columns.index("Status")
    rows = [cast("Sequence[object]", row.get("cells") or ()) for row in objects(table, "rows")]
    return {
        str(cells[name]): str(cells[status]).split(",")[0] == "Ready"
        for cells in rows
        if len(cells) > max(name, status)
    }


def left_out_of(daemonset: Json) -> int:
    """On how many nodes its run gave up; an annotation is text that anybody may write."""
    told = text(mapping(mapping(daemonset, "metadata"), "annotations"), naming.LEFT_OUT_ANNOTATION)
    return int(told) if re.fullmatch(r"[0-9]{1,5}", told) else 0


def failed_creation(daemonset: Json, events: Iterable[Json], since: datetime) -> str:
    """What the controller was told when it last could not create a pod; empty when it always could."""
    ours = [
        (seen, str(event.get("message") or ""))
        for event in events
        if event.get("reason") == "FailedCreate"
        and mapping(event, "involvedObject").get("uid") == uid_of(daemonset)
        and (seen := _seen_since(event, since)) is not None
    ]
    return max(ours, default=(since, ""))[1]


def volume_faults(events: Iterable[Json], since: datetime) -> dict[str, str]:
    """By pod uid, why its volumes could not be mounted."""
    return {
        str(mapping(event, "involvedObject").get("uid")): str(event.get("message") or "")
        for event in events
        if event.get("reason") in ("FailedMount", "FailedAttachVolume") and _seen_since(event, since)
    }


def is_puzzling(state: NodeState) -> bool:
    """Whether neither the pod nor its agent says why nothing happens."""
    silent = state.report is None and state.cause is None and not state.running
    return not state.pod or (state.standing is NodeStanding.ACTIVE and silent)


def busy_in_turn(states: Sequence[NodeState], asked: Mapping[str, datetime]) -> tuple[NodeState, ...]:
    """Those whose logs are read in this look: never asked before the others, then the longest ago.

    `asked` is this process's own; an instance of the app that looks for the first time begins with those
    it knows nothing of, whatever others have read.
    """
    never = datetime.min.replace(tzinfo=UTC)
    busy = (state for state in states if state.running)
    ranked = sorted(busy, key=lambda state: (asked.get(state.pod_uid, never), state.pod))
    return tuple(ranked[:MAX_BUSY_LOGS])


def unready_since(nodes: Iterable[Json], now: datetime) -> dict[str, datetime]:
    """Since when each of these nodes has not been Ready, as its own condition says."""
    since = {name_of(node): _ready_condition(node) for node in nodes}
    return {
        name: moment(text(condition, "lastTransitionTime")) or now
        for name, condition in since.items()
        if text(condition, "status") != "True"
    }


def _ready_condition(node: Json) -> Json:
    conditions = objects(mapping(node, "status"), "conditions")
    return next((each for each in conditions if text(each, "type") == "Ready"), {})


def failing_with_logs(states: Iterable[NodeState]) -> tuple[NodeState, ...]:
    """One node for each cause that its agent may have said something about, failed ones first."""
    ranked = sorted(states, key=lambda state: (state.standing is not NodeStanding.FAILED, state.node))
    chosen: dict[Kind, NodeState] = {}
    for state in ranked:
        if state.cause is not None and state.pod and state.cause.kind not in _SILENT:
            chosen.setdefault(state.cause.kind, state)
    return tuple(chosen.values())[:MAX_FAILING_LOGS]


def _owned_by(pod: Json, owner: str) -> bool:
    owners = objects(mapping(pod, "metadata"), "ownerReferences")
    return any(each.get("uid") == owner and each.get("controller") is True for each in owners)


def _age_rank(pod: Json) -> tuple[bool, str]:
    return (not is_leaving(pod), str(mapping(pod, "metadata").get("creationTimestamp") or ""))


def _seen_since(event: Json, since: datetime) -> datetime | None:
    """When it was last seen, if that may be since then: its time is cut to whole seconds."""
    told = text(mapping(event, "series"), "lastObservedTime")
    seen = moment(told or text(event, "lastTimestamp") or text(event, "eventTime"))
    return seen if seen is not None and seen >= since.replace(microsecond=0) else None
