"""Nodes without processes: a pod that is bound to one is ready at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cluster.nodes import statuses
from local.cluster.nodes.environment import environment_of, expand
from local.cluster.objects import Json, containers_of, name_of, namespace_of, uid_of, utc_now
from local.cluster.resources import PODS

if TYPE_CHECKING:
    from local.cluster.store import Store


@dataclass(slots=True)
class Simulation:
    """What simulated pods do; the control changes it."""

    termination_message: str = ""
    """What an init container leaves in /dev/termination-log; `$(NAME)` is a variable of its own."""

    def as_json(self) -> Json:
        """As the control shows it."""
        return {"termination_message": self.termination_message}


def show_ready(store: Store, pod: Json, simulation: Simulation) -> None:
    """Report that its init containers succeeded and its containers run."""
    current = store.find(PODS, namespace_of(pod), name_of(pod))
    if current is None or uid_of(current) != uid_of(pod) or current["status"].get("containerStatuses"):
        return
    now = utc_now()
    inits = {item["name"] for item in pod["spec"].get("initContainers") or []}
    states: dict[str, Json] = {}
    for container in containers_of(pod):
        name = container["name"]
        identity = f"containerd://{statuses.image_id(uid_of(pod) + name).removeprefix('sha256:')}"
        status = statuses.running(statuses.initial(container), identity, now, ready=True)
        if name in inits:
            ending = statuses.Ending(
                exit_code=0,
                reason=statuses.COMPLETED,
                started_at=now,
                finished_at=now,
                message=expand(simulation.termination_message, environment_of(store, pod, container, {})),
            )
            status = statuses.terminated(status, ending, init=True)
        states[name] = status
    store.update(PODS, {**current, "status": statuses.pod_status(current, states, now, sandbox=True)})
