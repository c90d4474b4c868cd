"""Which Kubernetes the stack works with: the embedded one, or one that stands already and a kubeconfig names.

`STACK_CLUSTER` chooses (`make … CLUSTER=kubeconfig` sets it); `STACK_NODES` belongs to the embedded one,
`KUBECONFIG`, `STACK_IMAGE`, `STACK_PAUSE_IMAGE` and `STACK_NODE_DIRECTORY` to a given one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from local import kubeconfigs
from local.kubeconfigs import ClusterError, Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

REGISTRY = "elbregistry"
DEFAULT_NODES = 3
MOST_NODES = 20  # each runs real processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """`local/cluster`, started and ended with the stack."""

    nodes: int

    @property
    def facts(self) -> Facts:
        """What ARM tells of it."""
        names = tuple(f"node-{number}" for number in range(self.nodes))
        return Facts(node_names=names, version="1.34", vm_size="Standard_E16s_v5", server="127.0.0.1")

    @property
    def app_settings(self) -> Mapping[str, str]:
        """What the app must know to warm it."""
        return {"WARMUP_IMAGE": f"{REGISTRY}.azurecr.io/ncbi/elb:1.4.0"}

    def as_record(self) -> dict[str, Any]:
        """As it is written down while it runs."""
        return {"nodes": self.nodes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A cluster of somebody else's: nothing of it is started or ended, and its pods are told by a webhook."""

    facts: Facts
    app_settings: Mapping[str, str]
    kubeconfig: str = field(default="", repr=False)  # a secret: never in the record

    def as_record(self) -> dict[str, Any]:
        """As it is written down while it runs."""
        return {"facts": asdict(self.facts), "app_settings": dict(self.app_settings)}


Cluster = Embedded | Given


def chosen(environ: Mapping[str, str]) -> Cluster:
    """The cluster that the settings ask for, looked at if it is a given one; raises ClusterError."""
    match environ.get("STACK_CLUSTER") or "embedded":
        case "embedded":
            return Embedded(nodes=_nodes(environ.get("STACK_NODES") or str(DEFAULT_NODES)))
        case "kubeconfig":
            return _given(environ)
        case other:
            raise ClusterError(f"CLUSTER is {other!r}; there are embedded, the default, and kubeconfig")


def from_record(record: Mapping[str, Any]) -> Cluster:
    """What `as_record` wrote."""
    if "nodes" in record:
        return Embedded(nodes=int(record["nodes"]))
    facts = {**record["facts"], "node_names": tuple(record["facts"]["node_names"])}
    return Given(facts=Facts(**facts), app_settings=record["app_settings"])


def _given(environ: Mapping[str, str]) -> Given:
    image = environ.get("STACK_IMAGE")
    if not image:
        raise ClusterError(
            "CLUSTER=kubeconfig needs STACK_IMAGE: an image with python3 that this cluster can pull, "
            "such as docker.io/library/python:3.11-slim"
        )
    kubeconfig = kubeconfigs.read(environ.get("KUBECONFIG", ""))
    named = {
        "WARMUP_IMAGE": image,
        "WARMUP_PAUSE_IMAGE": environ.get("STACK_PAUSE_IMAGE"),
        "WARMUP_NODE_DIRECTORY": environ.get("STACK_NODE_DIRECTORY"),
    }
    return Given(
        facts=kubeconfigs.facts(kubeconfig),
        # A registry that ARM knows, so that a request may name one here too.
        app_settings={"ALLOWED_REGISTRIES": REGISTRY}
        | {name: value for name, value in named.items() if value},
        kubeconfig=kubeconfig,
    )


def _nodes(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_NODES):
        raise ClusterError(f"STACK_NODES is {text!r}; give a number from 1 to {MOST_NODES}")
    return int(text)
