"""Why a node is not warm, in words an operator can act on.

A cause comes from the agent's own report, or from what Kubernetes says of the pod. Causes that cannot
pass fail the node at once; the others only once they have lasted longer than such things take.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

from shared.domain.model import AccessMode, AccessTerms

# Scheduling, node repair and pulls of images take minutes on AKS.
PATIENCE = timedelta(minutes=5)
# A role that was just granted takes ten minutes to act, and the kubelet's pause between two pulls five.
PULL_PATIENCE = timedelta(minutes=16)
MAX_CAUSES = 6  # a status shows no more; the nodes' own page shows all
MAX_MESSAGE = 300


class Kind(StrEnum):
    """The closed set of causes; each is documented with its remedy in `docs/status.md`."""

    # As the agent reports them, see `agent/errors.py`.
    BAD_MANIFEST = "bad_manifest"
    DISK_FULL = "disk_full"
    IDENTITY_UNAVAILABLE = "identity_unavailable"
    ACCESS_DENIED = "access_denied"
    STORAGE_CLOSED = "storage_closed"
    NOT_FOUND = "not_found"
    CHANGED = "changed"
    DAMAGED = "damaged"
    THROTTLED = "throttled"
    NETWORK = "network"
    DEADLINE = "deadline"
    BUSY = "busy"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"
    # As Kubernetes shows them.
    IMAGE_PULL = "image_pull"
    CONTAINER_CONFIG = "container_config"
    UNSCHEDULABLE = "unschedulable"
    OUT_OF_MEMORY = "out_of_memory"
    EVICTED = "evicted"
    NODE_NOT_READY = "node_not_ready"
    POD_MISSING = "pod_missing"
    POD_REFUSED = "pod_refused"
    VOLUME = "volume"
    CRASHED = "crashed"
    # As seen over all nodes.
    DIGESTS_DIFFER = "digests_differ"


REMEDIES: dict[Kind, str] = {
    Kind.BAD_MANIFEST: "start again; if it stays, download the database again",
    Kind.DISK_FULL: "release databases that are not needed, or use nodes with larger disks",
    Kind.IDENTITY_UNAVAILABLE: "check the pool's kubelet identity, and that pods reach 169.254.169.254",
    Kind.ACCESS_DENIED: "grant the kubelet identity Storage Blob Data Reader on the account",
    Kind.STORAGE_CLOSED: "open the account to the nodes' network: set STORAGE_ACCESS_MODE to window or vnet",
    Kind.NOT_FOUND: "download the database again, then start again",
    Kind.CHANGED: "the database was replaced meanwhile; start again",
    Kind.DAMAGED: "start again; if it stays, replace the node's disk",
    Kind.THROTTLED: "set max_mbps_per_node, or warm fewer nodes at once",
    Kind.NETWORK: "check DNS and routes from the nodes to the account's blob endpoint",
    Kind.DEADLINE: "start again: what was fetched is kept",
    Kind.BUSY: "another pod is writing this database on the node; wait for it",
    Kind.INTERRUPTED: "start again: what was fetched is kept",
    Kind.INTERNAL: "read the node's log; start again",
    Kind.IMAGE_PULL: (
        "check the image's name, and that the kubelet identity has AcrPull on the registry "
        "(Container Registry Repository Reader where its permissions are by repository)"
    ),
    Kind.CONTAINER_CONFIG: "read the message; a ConfigMap or secret the pod names is missing",
    Kind.UNSCHEDULABLE: "free room on the node, or add its taint to WARMUP_TOLERATIONS",
    Kind.OUT_OF_MEMORY: "raise WARMUP_MEMORY_LIMIT",
    Kind.EVICTED: "free disk or memory on the node",
    Kind.NODE_NOT_READY: "wait for the node, or repair it",
    Kind.POD_MISSING: "look at the DaemonSet's events",
    Kind.POD_REFUSED: (
        "read the message; where a policy forbids hostPath pods (AKS Automatic does), use a cluster that "
        "allows them"
    ),
    Kind.VOLUME: "check WARMUP_NODE_DIRECTORY on the node",
    Kind.CRASHED: "read the node's log",
    Kind.DIGESTS_DIFFER: "verify the database (verify_only), then start again",
}

# What passes by itself or by Kubernetes' own repair; anything else is final once seen.
PASSING = frozenset(
    {
        Kind.STORAGE_CLOSED,
        Kind.THROTTLED,
        Kind.NETWORK,
        Kind.BUSY,
        Kind.INTERRUPTED,
        Kind.IMAGE_PULL,
        Kind.CONTAINER_CONFIG,
        Kind.UNSCHEDULABLE,
        Kind.OUT_OF_MEMORY,
        Kind.EVICTED,
        Kind.NODE_NOT_READY,
        Kind.POD_MISSING,
        Kind.VOLUME,
        Kind.CRASHED,
        Kind.INTERNAL,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One cause, how many nodes share it, and one of them."""

    kind: Kind
    message: str
    remedy: str
    count: int
    node: str

    @property
    def sentence(self) -> str:
        """Cause first: a dashboard shows the first hundred characters."""
        where = f"on {self.node}" if self.count == 1 else f"on {self.count} nodes, {self.node} among them"
        return f"{self.message} ({where}); {self.remedy}"


def cause_of(kind: Kind, message: str, node: str, remedy: str = "") -> Cause:
    """One node's cause; the agent may know a sharper remedy than ours."""
    return Cause(
        kind=kind,
        message=message[:MAX_MESSAGE],
        remedy=(remedy or REMEDIES[kind])[:MAX_MESSAGE],
        count=1,
        node=node,
    )


def shut_out(cause: Cause, terms: AccessTerms) -> Cause:
    """Why the account does not let a node in is known to who opened it, not to the node."""
    if cause.kind is not Kind.STORAGE_CLOSED:
        return cause
    return replace(cause, remedy=_letting_nodes_in(terms)[:MAX_MESSAGE])


def _letting_nodes_in(terms: AccessTerms) -> str:
    match terms.mode:
        case AccessMode.NONE:
            return REMEDIES[Kind.STORAGE_CLOSED]
        case AccessMode.WINDOW:
            return (
                "it is open to every network now: look for a private DNS zone, a proxy or a perimeter "
                "between the nodes and it"
            )
        case AccessMode.VNET:
            network, _, subnet = (terms.subnet_id or "").rpartition("/subnets/")
            return (
                f"only subnet {network.rpartition('/')[2]}/{subnet} is admitted: set STORAGE_SUBNET_ID to "
                "the nodes' own, and give that an endpoint for storage (az network vnet subnet update --ids "
                "<its id> --service-endpoints Microsoft.Storage)"
            )
        case _:
            assert_never(terms.mode)


def group(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """One cause per kind with a count and one example: differing bytes first, then the most frequent."""
    grouped: dict[Kind, Cause] = {}
    for cause in causes:
        known = grouped.get(cause.kind)
        grouped[cause.kind] = cause if known is None else replace(known, count=known.count + cause.count)
    ordered = sorted(grouped.values(), key=_rank)
    return tuple(ordered[:MAX_CAUSES])


def _rank(cause: Cause) -> tuple[bool, int, Kind]:
    return (cause.kind is not Kind.DIGESTS_DIFFER, -cause.count, cause.kind)
