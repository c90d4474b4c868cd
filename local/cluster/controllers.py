"""The control plane: each controller looks at the store, decides, and writes what it decided.

Level-triggered: a controller compares what is with what should be, whatever woke it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from local.cluster import daemonsets, webhooks, writing
from local.cluster.deleting import collect_garbage, delete_pod, empty_namespaces
from local.cluster.events import Event, Source, record
from local.cluster.failures import ApiError
from local.cluster.nodestates import sync_nodes
from local.cluster.objects import (
    Json,
    condition_of,
    controller_uid,
    is_deleting,
    name_of,
    namespace_of,
    owners_of,
    timestamp,
    uid_of,
    utc_now,
)
from local.cluster.resources import DAEMON_SETS, NODES, PODS
from local.cluster.retrying import FIRST_SECONDS_OF_A_SEAT, Retries
from local.cluster.scheduling import Placement, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.cluster.daemonsets import Plan
    from local.cluster.store import Store

SETTLE_SECONDS = 0.01
"""Changes that come together are looked at together: 1,000 pods becoming ready are not 1,000 rounds."""

DAEMON_SET_CONTROLLER = Source(component="daemonset-controller")
SCHEDULER = Source(component="default-scheduler")


async def run_controllers(store: Store) -> None:
    """Reconcile after every change, for ever, and again when what was refused is due."""
    subscription, retries = store.subscribe(), Retries()
    while True:
        await sync(store, retries)
        with suppress(TimeoutError):
            async with asyncio.timeout(retries.seconds()):
                await subscription.wait()
        await asyncio.sleep(SETTLE_SECONDS)
        for _ in subscription.drain():
            pass


async def sync(store: Store, retries: Retries) -> None:
    """One round of every controller."""
    sync_nodes(store)
    await sync_daemon_sets(store, retries)
    schedule_pods(store)
    collect_garbage(store)
    empty_namespaces(store)


async def sync_daemon_sets(store: Store, retries: Retries) -> None:
    """Follow each DaemonSet's plan."""
    nodes = store.list(NODES)
    daemon_sets = [item for item in store.list(DAEMON_SETS) if not is_deleting(item)]
    _adopt_orphans(store, daemon_sets)
    owned = _pods_by_controller(store)
    seats = {_seat(item, name_of(node)) for item in daemon_sets for node in nodes}
    retries.keep(seats.union(map(uid_of, daemon_sets)))
    retries.settle()
    for daemon_set in daemon_sets:
        plan = daemonsets.reconcile(daemon_set, nodes, owned[uid_of(daemon_set)])
        _delete_pods(
            store, daemon_set, plan, {name_of(pod): pod for pod in owned[uid_of(daemon_set)]}, retries
        )
        await _create_pods(store, daemon_set, plan, retries)
        _tell_status(store, daemon_set, plan)


def schedule_pods(store: Store) -> None:
    """Bind pods that have no node, or say why none takes them."""
    nodes = store.list(NODES)
    pods = store.list(PODS)
    waiting = [pod for pod in pods if not pod["spec"].get("nodeName") and not is_deleting(pod)]
    if not waiting:
        return
    by_node: dict[str, list[Json]] = defaultdict(list)
    for pod in pods:
        if pod["status"].get("phase") not in {"Succeeded", "Failed"}:
            by_node[pod["spec"].get("nodeName", "")].append(pod)
    for pod in waiting:
        target = daemonsets.node_of(pod)
        candidates = [node for node in nodes if name_of(node) == target] if target else nodes
        placement = place(pod, candidates, by_node)
        if placement.node is None:
            _tell_unschedulable(store, pod, placement)
        else:
            by_node[placement.node].append(_bind(store, pod, placement.node))


def _adopt_orphans(store: Store, daemon_sets: Sequence[Json]) -> None:
    """Take pods that nobody controls and a selector matches, as left by a deletion that orphans."""
    for pod in store.list(PODS):
        if controller_uid(pod) or is_deleting(pod):
            continue
        owner = next((each for each in daemon_sets if daemonsets.would_own(each, pod)), None)
        if owner is not None:
            references = [*owners_of(pod), daemonsets.owner_reference(owner)]
            store.update(PODS, {**pod, "metadata": {**pod["metadata"], "ownerReferences": references}})


def _pods_by_controller(store: Store) -> dict[str, list[Json]]:
    owned: dict[str, list[Json]] = defaultdict(list)
    for pod in store.list(PODS):
        if uid := controller_uid(pod):
            owned[uid].append(pod)
    return owned


def _seat(daemon_set: Json, node: str) -> str:
    return f"{uid_of(daemon_set)}/{node}"


def _delete_pods(
    store: Store, daemon_set: Json, plan: Plan, by_name: dict[str, Json], retries: Retries
) -> None:
    """Take pods away; where they fail again and again, at growing distances."""
    waiting = set()
    for name in plan.failed:
        node = daemonsets.node_of(by_name[name])
        if not retries.is_due(_seat(daemon_set, node)):
            waiting.add(name)
            continue
        retries.refused(_seat(daemon_set, node), FIRST_SECONDS_OF_A_SEAT)
        message = (
            f"Found failed daemon pod {namespace_of(daemon_set)}/{name} on node {node}, will try to kill it"
        )
        record(
            store,
            daemon_set,
            Event(type="Warning", reason="FailedDaemonPod", message=message, source=DAEMON_SET_CONTROLLER),
        )
    for name in (name for name in plan.delete if name not in waiting):
        delete_pod(store, by_name[name])
        message = f"Deleted pod: {name}"
        record(
            store,
            daemon_set,
            Event(type="Normal", reason="SuccessfulDelete", message=message, source=DAEMON_SET_CONTROLLER),
        )


async def _create_pods(store: Store, daemon_set: Json, plan: Plan, retries: Retries) -> None:
    uid = uid_of(daemon_set)
    if not retries.is_due(uid):
        return
    for node in plan.create_on:
        if not await _create_pod(store, daemon_set, node):
            retries.refused(uid)
            return
    retries.succeeded(uid)


def _tell_status(store: Store, daemon_set: Json, plan: Plan) -> None:
    current = store.find(DAEMON_SETS, namespace_of(daemon_set), name_of(daemon_set))
    # While a webhook was asked, it may have been deleted, or another may have its name.
    if current is not None and uid_of(current) == uid_of(daemon_set) and plan.status != current["status"]:
        store.update(DAEMON_SETS, {**current, "status": plan.status})


async def _create_pod(store: Store, daemon_set: Json, node: str) -> bool:
    where = writing.Place(kind=PODS, namespace=namespace_of(daemon_set))
    try:
        wanted = await webhooks.mutated(store, where, daemonsets.new_pod(daemon_set, node))
        pod = writing.create(store, where, wanted)
    except ApiError as error:
        message = f"Error creating: {error.message}"
        record(
            store,
            daemon_set,
            Event(type="Warning", reason="FailedCreate", message=message, source=DAEMON_SET_CONTROLLER),
        )
        return False
    message = f"Created pod: {name_of(pod)}"
    record(
        store,
        daemon_set,
        Event(type="Normal", reason="SuccessfulCreate", message=message, source=DAEMON_SET_CONTROLLER),
    )
    return True


def _bind(store: Store, pod: Json, node: str) -> Json:
    status = {**pod["status"], "conditions": [_scheduled("True")]}
    bound = store.update(PODS, {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status})
    message = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
    record(store, bound, Event(type="Normal", reason="Scheduled", message=message, source=SCHEDULER))
    return bound


def _tell_unschedulable(store: Store, pod: Json, placement: Placement) -> None:
    known = condition_of(pod, "PodScheduled")
    if known and known.get("message") == placement.message:
        return
    condition = {**_scheduled("False"), "reason": "Unschedulable", "message": placement.message}
    store.update(PODS, {**pod, "status": {**pod["status"], "conditions": [condition]}})
    record(
        store,
        pod,
        Event(type="Warning", reason="FailedScheduling", message=placement.message, source=SCHEDULER),
    )


def _scheduled(status: str) -> Json:
    now = timestamp(utc_now())
    return {"type": "PodScheduled", "status": status, "lastProbeTime": None, "lastTransitionTime": now}
