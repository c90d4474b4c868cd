"""What a warm-up will do, decided before it writes anything: a plan, or the reason there is none."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from shared.domain.deadlines import LONGEST_RUN
from shared.domain.model import (
    AS_FOUND,
    AccessMode,
    AccessTerms,
    Account,
    Cluster,
    ClusterFacts,
    KubeletIdentity,
    StagedDatabase,
    WarmupPlan,
    WarmupRequest,
)
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import Access, Probe

# The slowest disk seen under /workspace was 125 MB/s; planning for less than a third of it leaves room
# for ten nodes that share an account, and gives core_nt (283 GB) the two hours it always had.
PLANNED_BYTES_PER_SECOND = 39_000_000
SHORTEST_DEADLINE = timedelta(minutes=30)  # grants may take 10, images 5, a retry as long again
# A measured rate may stretch the deadline so far: below a quarter of the planned one, something is broken.
LONGEST_STRETCH = 4
ROOM_TO_PUBLISH = 1.02  # the most that a copy may take beyond the database itself
USABLE_OF_A_DISK = 0.88  # the kubelet evicts pods below 10 % free, and images and logs take some too


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a plan is made from: the request, and what was found."""

    request: WarmupRequest
    cluster: ClusterFacts
    account: Account | None  # None in a release
    databases: tuple[StagedDatabase, ...]
    now: datetime
    terms: AccessTerms = AS_FOUND


def judge_cluster(cluster: Cluster, facts: ClusterFacts) -> KubeletIdentity | Refusal:
    """Whether the cluster can be warmed at all; asked before the account is touched."""
    if facts.power_state != "Running":
        return Refusal(
            reason=Reason.CLUSTER_STOPPED,
            message=f"cluster {cluster.name!r} is {facts.power_state.lower()}",
            remedy="start it and start the warm-up again",
        )
    if facts.barring_taints:
        taints = ",".join(facts.barring_taints)
        return Refusal(
            reason=Reason.NO_NODES,
            message=f"cluster {cluster.name!r} has wanted nodes, but their taints keep pods out: {taints}",
            remedy=f"add to the app's setting WARMUP_TOLERATIONS: {taints}",
        )
    if not any(node.ready and node.schedulable for node in facts.nodes):
        return Refusal(
            reason=Reason.NO_NODES,
            message=f"cluster {cluster.name!r} has no ready, schedulable Linux node outside its system pools",
            remedy="scale up the pool that runs searches (label workload=blast)",
        )
    if facts.kubelet is None:
        return Refusal(
            reason=Reason.NO_KUBELET_IDENTITY,
            message=f"cluster {cluster.name!r} has no kubelet identity, so its nodes cannot read blobs",
            remedy="give it a managed identity (az aks update --enable-managed-identity)",
        )
    return facts.kubelet


def refuse_unreadable(access: Access, probe: Probe) -> Refusal:
    """What an operator can do about an account whose blobs the app cannot read."""
    account = access.account
    if probe.outcome == "not_found":
        return Refusal(
            reason=Reason.DATABASE_NOT_FOUND,
            message=f"account {account.name!r} has no container of databases: {probe.message}",
            remedy="download a database from the dashboard's storage page",
        )
    if probe.outcome == "denied":
        return Refusal(
            reason=Reason.ACCOUNT_FORBIDDEN,
            message=f"the app may not read the blobs of account {account.name!r}: {probe.message}",
            remedy=f"grant the app's identity Storage Blob Data Reader on {account.resource_id}",
        )
    return Refusal(
        reason=Reason.STORAGE_BLOCKED,
        message=f"account {account.name!r} cannot be read: {probe.outcome}, {probe.message}",
        remedy=_admitting_the_app(access),
    )


def _admitting_the_app(access: Access) -> str:
    """The app itself lists what is staged, whomever the mode lets in."""
    name = access.account.name
    match access.terms.mode:
        case AccessMode.VNET:
            return (
                "mode vnet admits the nodes' subnet only, and the app must see what is staged: give it a "
                f"private endpoint, or az storage account network-rule add --account-name {name} "
                "--subnet <the app's>"
            )
        case AccessMode.WINDOW:
            return "it is open to every network now: check the app's DNS and its way out, then start again"
        case AccessMode.NONE:
            return "open it to the app's network, or set STORAGE_ACCESS_MODE to window"
        case _:
            assert_never(access.terms.mode)


def plan_warmup(grounds: Grounds, kubelet: KubeletIdentity) -> WarmupPlan | Refusal:
    """Lay out the work, unless some node cannot possibly hold the databases."""
    request = grounds.request
    plan = WarmupPlan(
        cluster=request.cluster,
        account=grounds.account,
        kubelet=kubelet,
        registry=request.registry,
        databases=grounds.databases,
        selection=grounds.cluster.selection,
        node_count=len(grounds.cluster.nodes),
        image=request.image,
        mode=request.mode,
        max_mbps_per_node=request.max_mbps_per_node,
        deadline=_deadline(grounds),
        terms=grounds.terms,
        latest_deadline=_latest_deadline(grounds),
    )
    return _too_small(plan, grounds) or plan


def planned_seconds(request: WarmupRequest, total_bytes: int) -> int:
    """How long a node that holds nothing takes at most, at the rate that is planned for."""
    return math.ceil(total_bytes / _planned_rate(request))


def _deadline(grounds: Grounds) -> datetime:
    if grounds.request.deadline_minutes is not None:
        return grounds.now + timedelta(minutes=grounds.request.deadline_minutes)
    return grounds.now + _planned_span(grounds)


def _latest_deadline(grounds: Grounds) -> datetime | None:
    """An operator's deadline is final."""
    if grounds.request.deadline_minutes is not None:
        return None
    return grounds.now + min(LONGEST_STRETCH * _planned_span(grounds), LONGEST_RUN)


def _planned_span(grounds: Grounds) -> timedelta:
    total = sum(staged.bytes for staged in grounds.databases)
    needed = timedelta(seconds=planned_seconds(grounds.request, total))
    return min(max(SHORTEST_DEADLINE, needed), LONGEST_RUN)


def _planned_rate(request: WarmupRequest) -> float:
    if request.max_mbps_per_node is None:
        return PLANNED_BYTES_PER_SECOND
    ceiling = request.max_mbps_per_node * 1_000_000 * 0.8  # a ceiling is never quite reached
    return min(PLANNED_BYTES_PER_SECOND, ceiling)


def _too_small(plan: WarmupPlan, grounds: Grounds) -> Refusal | None:
    """A disk smaller than the databases is hopeless; free space is the agent's to judge."""
    needed = int(plan.bytes_per_node * ROOM_TO_PUBLISH)
    small = [node for node in grounds.cluster.nodes if 0 < node.disk_bytes * USABLE_OF_A_DISK < needed]
    if not small:
        return None
    return Refusal(
        reason=Reason.DISK_TOO_SMALL,
        message=(
            f"node {small[0].name!r} has a disk of {small[0].disk_bytes / 1e9:.0f} GB and the databases need "
            f"{needed / 1e9:.0f} GB" + (f" ({len(small)} nodes are as small)" if len(small) > 1 else "")
        ),
        remedy="use nodes with larger disks, or warm fewer databases",
    )
