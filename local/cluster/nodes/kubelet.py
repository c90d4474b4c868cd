"""The node agents together: pods that are bound get a life, pods that are deleted lose it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cluster.nodes.pods import PodLife
from local.cluster.nodes.simulated import Simulation, show_ready
from local.cluster.nodestates import is_simulated
from local.cluster.objects import Json, is_deleting, name_of, namespace_of, uid_of
from local.cluster.resources import NODES, PODS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.cluster.nodes.containers import NodeSettings
    from local.cluster.store import Change, Store

OVER = frozenset({"Succeeded", "Failed"})
"""Phases of pods that run no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tenant:
    """A pod that lives on a node."""

    life: PodLife
    task: asyncio.Task[None]


class Kubelets:
    """The agents of all nodes of one cluster."""

    def __init__(self, store: Store, settings: NodeSettings, simulation: Simulation) -> None:
        self._store = store
        self._settings = settings
        self._simulation = simulation
        self._tasks = asyncio.TaskGroup()
        self._tenants: dict[str, _Tenant] = {}
        self._endings: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow the store for ever; a pod's life that fails for a reason of ours ends the cluster, aloud."""
        subscription = self._store.subscribe()
        async with self._tasks:
            for pod in self._store.list(PODS):
                self._look_at(pod)
            while True:
                await subscription.wait()
                for change in subscription.drain():
                    self._follow(change)

    def kill_processes(self, node: str) -> int:
        """Kill every process on a node; tells how many pods that were."""
        hit = list(self._on(node))
        for tenant in hit:
            tenant.life.kill()
        return len(hit)

    async def abandon(self, node: str) -> None:
        """The machine is gone, and everything on it: returns when no process is left."""
        uids = [uid_of(tenant.life.pod) for tenant in self._on(node)]
        for tenant in list(self._on(node)):
            self._end(tenant.life.pod, grace_seconds=0)
        await asyncio.gather(*(self._endings[uid] for uid in uids if uid in self._endings))

    def _on(self, node: str) -> Iterable[_Tenant]:
        return (tenant for tenant in self._tenants.values() if tenant.life.pod["spec"]["nodeName"] == node)

    def _follow(self, change: Change) -> None:
        if change.kind == NODES and change.type != "DELETED":
            for tenant in self._on(name_of(change.item)):
                tenant.life.publish()
        if change.kind != PODS:
            return
        if change.type == "DELETED":
            self._end(change.item, grace_seconds=0)
        else:
            self._look_at(self._store.find(PODS, namespace_of(change.item), name_of(change.item)))

    def _look_at(self, pod: Json | None) -> None:
        if pod is None or not pod["spec"].get("nodeName"):
            return
        uid, over = uid_of(pod), pod["status"].get("phase") in OVER
        if is_deleting(pod):
            self._end(pod, grace_seconds=pod["metadata"]["deletionGracePeriodSeconds"])
        elif over and uid in self._tenants:
            self._tenants[uid].life.retire()
        elif not over and uid not in self._tenants:
            self._begin(pod)

    def _begin(self, pod: Json) -> None:
        node = self._store.find(NODES, "", pod["spec"]["nodeName"])
        if node is None:
            return
        if is_simulated(node):
            show_ready(self._store, pod, self._simulation)
            return
        life = PodLife(self._store, self._settings, pod)
        self._tenants[uid_of(pod)] = _Tenant(life=life, task=self._tasks.create_task(life.run()))

    def _end(self, pod: Json, *, grace_seconds: float) -> None:
        uid = uid_of(pod)
        if uid not in self._endings:
            self._endings[uid] = self._tasks.create_task(self._let_go(pod, grace_seconds))
        elif grace_seconds == 0 and uid in self._tenants:
            self._tenants[uid].life.kill()

    async def _let_go(self, pod: Json, grace_seconds: float) -> None:
        uid = uid_of(pod)
        tenant = self._tenants.get(uid)
        if tenant:
            await tenant.life.stop(grace_seconds)
            tenant.task.cancel()
            await asyncio.wait([tenant.task])
            tenant.life.clean_up()
            del self._tenants[uid]
        current = self._store.find(PODS, namespace_of(pod), name_of(pod))
        if current and uid_of(current) == uid:
            self._store.remove(PODS, namespace_of(pod), name_of(pod))
        del self._endings[uid]
