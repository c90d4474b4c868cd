"""Databases of a test's own on the laptop's cluster, whose agents play what the test says."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from testkit.azure import KUBELET, SUBSCRIPTION

from shared.adapters.kubernetes_clusters import KubernetesClusters
from shared.adapters.kubernetes_session import Json, KubernetesSessions
from shared.domain.causes import Kind
from shared.domain.daemonset import PodRules, Rollout
from shared.domain.model import (
    Account,
    Cluster,
    Database,
    Engine,
    KubeletIdentity,
    Mode,
    NodeSelection,
    WarmupPlan,
)
from shared.domain.observing import NodeStanding, NodeState
from shared.domain.runs import ClusterLook, LookOrder
from shared.domain.selecting import NodeRules
from shared.domain.staging import Manifest

CLUSTER = Cluster(subscription_id=SUBSCRIPTION, resource_group="rg-blast", name="blast_aks-1")
RULES = NodeRules(labels=(("workload", "blast"),), tolerated_taints=("workload=blast:NoSchedule",))
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DAEMON_SETS = "/apis/apps/v1/namespaces/default/daemonsets"
PATIENCE_SECONDS = 20
# In the place of the agent: it plays what the manifest's source version says.
AGENT = """
import json, os, sys, time
manifest = json.load(open(os.environ["WARMUP_MANIFEST"]))
report = {"schema": 1, "run_id": os.environ["WARMUP_RUN_ID"], "generation": manifest["generation"]}
def say(**more):
    text = json.dumps({**report, "bytes_total": 100, **more})
    print('{"report": ' + text + "}", flush=True)
    open("/dev/termination-log", "w").write(text)
play = manifest["source_version"]
if play == "copies":
    print(chr(27) + "[32mcopying https://a/b?sig=c2VjcmV0" + chr(27) + "[0m", flush=True)
    say(phase="copying", bytes_done=40)
    time.sleep(600)
if play == "fails":
    print("writing volume 3", flush=True)
    say(phase="failed", error={"kind": "disk_full", "message": "no room for 100 bytes", "remedy": "tidy up"})
    sys.exit(3)
if play == "crashes once":
    if os.path.exists("/tmp/tried"):
        for volume in range(30):
            print("checking volume", volume, flush=True)
        time.sleep(600)
    open("/tmp/tried", "w").close()
if play == "starves":
    import subprocess
    subprocess.run([sys.executable, "-c", "import time; b = bytearray(300 << 20); time.sleep(60)"])
    sys.exit(0)
if play.startswith("crashes"):
    print("Segmentation fault", flush=True)
    sys.exit(139)
say(phase="ready", bytes_done=100, digest="0123456789abcdef")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One database of a test's own, and what its agent does on the nodes."""

    clusters: KubernetesClusters
    name: str
    began: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @property
    def database(self) -> Database:
        return Database(name=self.name, folder=self.name)

    def rollout(
        self, what: str, run_id: str = "run-1", image: str = "a.azurecr.io/ncbi/elb:1.4.0"
    ) -> Rollout:
        staged = self.manifest(what).describe()
        plan = WarmupPlan(
            cluster=CLUSTER,
            account=Account(resource_id="/a", name="warmdata", blob_endpoint="https://127.0.0.1:1/warmdata/"),
            kubelet=KubeletIdentity(object_id=KUBELET["object_id"], client_id=KUBELET["client_id"]),
            registry=None,
            databases=(staged,),
            selection=NodeSelection(labels=(), excluded_pools=(), tolerated_taints=()),
            node_count=3,
            image=image,
            mode=Mode.WARM,
            max_mbps_per_node=None,
            deadline=datetime.now(UTC) + timedelta(hours=1),
        )
        rules = PodRules(
            node_directory="/workspace",
            pause_image="mcr.microsoft.com/oss/kubernetes/pause:3.9",
            engine=Engine.RANGED,
            memory_limit="1Gi",
            ca_pem=None,
        )
        return Rollout(plan=plan, staged=staged, run_id=run_id, now=datetime.now(UTC), rules=rules)

    def manifest(self, what: str) -> Manifest:
        return Manifest(
            database=self.database,
            container="blast-db",
            molecule="nucl",
            source_version=what,
            generation="a1b2c3d4",
            files=(),
        )

    def begin(self, what: str, run_id: str = "run-1") -> None:
        assert self.clusters.apply(self.rollout(what, run_id), self.manifest(what)) is None

    def look(self, run_id: str = "run-1", later: timedelta = timedelta()) -> ClusterLook:
        order = LookOrder(
            cluster=CLUSTER,
            databases=(self.manifest("any").describe(),),
            run_id=run_id,
            applied_at=self.began,
            now=datetime.now(UTC) + later,
        )
        return self.clusters.look(order)

    def until(self, true: Callable[[ClusterLook], bool], run_id: str = "run-1") -> ClusterLook:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            seen = self.look(run_id)
            if true(seen):
                return seen
            assert time.monotonic() < give_up, seen
            time.sleep(0.05)


def states(seen: ClusterLook) -> tuple[NodeState, ...]:
    return seen.databases[0].states


def all_ready(seen: ClusterLook) -> bool:
    found = states(seen)
    return len(found) == 3 and all(state.standing is NodeStanding.READY for state in found)


def all_running(seen: ClusterLook) -> bool:
    return len(states(seen)) == 3 and all(state.running and state.report for state in states(seen))


def causes(seen: ClusterLook) -> set[Kind]:
    return {state.cause.kind for state in states(seen) if state.cause}


def listed(sessions: KubernetesSessions, play: Play) -> list[Json]:
    found = sessions.items(CLUSTER, CONFIG_MAPS)
    return [each for each in found if each["metadata"]["name"].startswith(f"warmup-{play.name}-")]
