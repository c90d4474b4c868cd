"""The node agents together: pods that are bound get a life, pods that are deleted lose it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cluster.nodes.pods import PodLife
from local.cluster.nodes.simulated import show_ready
from local.cluster.nodestates import is_simulated
from local.cluster.objects import Json, is_deleting, name_of, namespace_of, uid_of
from local.cluster.resources import NODES, PODS

if TYPE_CHECKING:
    from local.cluster.nodes.containers import NodeSettings
    from local.cluster.store import Change, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tenant:
    """A pod that lives on a node."""

    life: PodLife
    task: asyncio.Task[None]


class Kubelets:
    """The agents of all nodes of one cluster."""

    def __init__(self, store: Store, settings: NodeSettings) -> None:
        self._store = store
        self._settings = settings
        self._tenants: dict[str, _Tenant] = {}
        self._endings: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow the store for ever."""
        subscription = self._store.subscribe()
        for pod in self._store.list(PODS):
            self._look_at(pod)
        while True:
            await subscription.wait()
            for change in subscription.drain():
                self._follow(change)

    def kill_processes(self, node: str) -> int:
        """Kill every process on a node; tells how many pods that were."""
        hit = [tenant for tenant in self._tenants.values() if tenant.life.pod["spec"]["nodeName"] == node]
        for tenant in hit:
            tenant.life.kill()
        return len(hit)

    def _follow(self, change: Change) -> None:
        if change.kind == NODES and change.type != "DELETED":
            self._report_again(name_of(change.item))
        if change.kind != PODS:
            return
        if change.type == "DELETED":
            self._end(change.item, grace_seconds=0)
        else:
            self._look_at(self._store.find(PODS, namespace_of(change.item), name_of(change.item)))

    def _look_at(self, pod: Json | None) -> None:
        if pod is None or not pod["spec"].get("nodeName"):
            return
        if is_deleting(pod):
            self._end(pod, grace_seconds=pod["metadata"]["deletionGracePeriodSeconds"])
        elif uid_of(pod) not in self._tenants and pod["status"]["phase"] not in {"Succeeded", "Failed"}:
            self._begin(pod)

    def _begin(self, pod: Json) -> None:
        node = self._store.find(NODES, "", pod["spec"]["nodeName"])
        if node is None:
            return
        if is_simulated(node):
            show_ready(self._store, pod)
            return
        life = PodLife(self._store, self._settings, pod)
        self._tenants[uid_of(pod)] = _Tenant(life=life, task=asyncio.create_task(life.run()))

    def _end(self, pod: Json, *, grace_seconds: float) -> None:
        uid = uid_of(pod)
        if uid in self._endings:
            if grace_seconds == 0 and uid in self._tenants:
                self._tenants[uid].life.kill()
            return
        self._endings[uid] = asyncio.create_task(self._let_go(pod, grace_seconds))

    async def _let_go(self, pod: Json, grace_seconds: float) -> None:
        uid = uid_of(pod)
        tenant = self._tenants.get(uid)
        if tenant:
            await tenant.life.stop(grace_seconds)
            tenant.task.cancel()
            await asyncio.gather(tenant.task, return_exceptions=True)
            tenant.life.clean_up()
            del self._tenants[uid]
        current = self._store.find(PODS, namespace_of(pod), name_of(pod))
        if current and uid_of(current) == uid:
            self._store.remove(PODS, namespace_of(pod), name_of(pod))
        del self._endings[uid]

    def _report_again(self, node: str) -> None:
        for tenant in self._tenants.values():
            if tenant.life.pod["spec"]["nodeName"] == node:
                tenant.life.publish()
