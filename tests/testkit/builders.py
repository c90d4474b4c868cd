"""Value objects with good defaults, for tests that care about one field."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared.domain.causes import Kind, cause_of
from shared.domain.claims import Claim, cancelled
from shared.domain.model import (
    Account,
    Cluster,
    ClusterFacts,
    Database,
    KubeletIdentity,
    Mode,
    Node,
    NodeSelection,
    StagedDatabase,
    WarmupRequest,
)
from shared.domain.observing import NodeStanding, NodeState
from shared.domain.progress import Observation, causes_of, glance, sum_up
from shared.domain.reporting import AgentReport
from shared.domain.runs import Run

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
CLUSTER = Cluster(subscription_id=SUBSCRIPTION, resource_group="rg-elb", name="elb-cluster")
DATABASE = Database(name="core_nt", folder="core_nt")
ACCOUNT = Account(
    resource_id=f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-data/providers/"
    "Microsoft.Storage/storageAccounts/blastdata",
    name="blastdata",
    blob_endpoint="https://blastdata.blob.core.windows.net/",
)
KUBELET = KubeletIdentity(object_id="kubelet-oid", client_id="kubelet-client")
SELECTION = NodeSelection(
    labels=(("workload", "blast"),), excluded_pools=(), tolerated_taints=("workload=blast:NoSchedule",)
)
STAGED = StagedDatabase(
    database=DATABASE,
    molecule="nucl",
    source_version="2026-04-01-01-05-01",
    generation="a1b2c3d4e5f60718",
    files=26,
    bytes=130_000_000,
    volumes=5,
)


def request(**changes: Any) -> WarmupRequest:
    """A plain request for core_nt."""
    plain = WarmupRequest(
        cluster=CLUSTER,
        account_name="blastdata",
        account_resource_group=None,
        databases=(DATABASE,),
        image="elbacr.azurecr.io/ncbi/elb:1.4.0",
        registry=None,
        mode=Mode.WARM,
        dry_run=False,
        allow_partial=False,
        max_mbps_per_node=None,
        deadline_minutes=None,
        requested_by="user-oid",
    )
    return replace(plain, **changes)


def claim(run_id: str, *databases: Database) -> Claim:
    """A run holds the first of its databases."""
    return Claim(
        cluster=CLUSTER,
        database=databases[0],
        run_id=run_id,
        run_databases=databases,
        account_name=ACCOUNT.name,
        claimed_at=datetime(2026, 5, 1, 12, 0, tzinfo=UTC),
    )


def run(**changes: Any) -> Run:
    """A run that begins."""
    return Run(request=request(**changes))


def nodes(count: int = 3, disk_bytes: int = 500_000_000_000) -> tuple[Node, ...]:
    """Ready nodes of one pool."""
    return tuple(
        Node(
            name=f"node{n}",
            uid=f"uid{n}",
            pool="blast",
            schedulable=True,
            ready=True,
            disk_bytes=disk_bytes,
        )
        for n in range(count)
    )


def facts(**changes: Any) -> ClusterFacts:
    """A running cluster of three nodes."""
    plain = ClusterFacts(power_state="Running", kubelet=KUBELET, selection=SELECTION, nodes=nodes())
    return replace(plain, **changes)


def report(**changes: Any) -> AgentReport:
    """A node that is done."""
    plain = AgentReport(
        run_id="run1",
        generation=STAGED.generation,
        phase="ready",
        files_done=26,
        files_total=26,
        bytes_done=STAGED.bytes,
        bytes_total=STAGED.bytes,
        bytes_fetched=STAGED.bytes,
        files_fetched=26,
        bytes_per_second=0,
        eta_seconds=None,
        retries=0,
        seconds=9.5,
        digest="ab" * 16,
        error=None,
        message="",
        remedy="",
    )
    return replace(plain, **changes)


def state(node: str = "node0", **changes: Any) -> NodeState:
    """A node that is ready."""
    plain = NodeState(
        node=node,
        pod=f"warmup-{node}",
        pod_uid=f"pod-{node}",
        standing=NodeStanding.READY,
        report=report(),
        restarts=0,
        running=False,
        cause=None,
    )
    return replace(plain, **changes)


def copying(node: str, done: int = 0) -> NodeState:
    """A node at work."""
    busy = report(phase="copying", bytes_done=done, bytes_fetched=done, digest=None, eta_seconds=60)
    return state(node, standing=NodeStanding.ACTIVE, report=busy, running=True)


def broken(node: str, kind: Kind = Kind.DISK_FULL, message: str = "the disk is 3 GB short") -> NodeState:
    """A node that failed."""
    return state(node, standing=NodeStanding.FAILED, cause=cause_of(kind, message, node))


def seen(*states: NodeState, settled: bool = True, cancelled_by: str | None = None) -> Observation:
    """One look."""
    return Observation(
        at=datetime(2026, 5, 1, 12, 5, tzinfo=UTC),
        stopped=cancelled(cancelled_by) if cancelled_by else None,
        databases=(sum_up(DATABASE, states, settled=settled, bytes_per_node=STAGED.bytes),),
        causes=causes_of(DATABASE.name, states),
        logs=(),
        glances=glance(DATABASE, states, datetime(2026, 5, 1, 12, 5, tzinfo=UTC)),
    )
