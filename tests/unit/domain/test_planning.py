"""What a warm-up will do, or why it cannot: asked before anything is written."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit import builders as a

from shared.domain.deadlines import LONGEST_RUN
from shared.domain.hubs import FOREIGN_PATIENCE
from shared.domain.model import ClusterFacts, WarmupPlan
from shared.domain.planning import Grounds, judge_cluster, plan_warmup
from shared.domain.refusals import Reason, Refusal

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
CORE_NT_BYTES = 283_000_000_000


def grounds(database_bytes: int = a.STAGED.bytes, **changes: Any) -> Grounds:
    plain = Grounds(
        request=a.request(),
        cluster=a.facts(),
        account=a.ACCOUNT,
        databases=(replace(a.STAGED, bytes=database_bytes),),
        now=NOW,
    )
    return replace(plain, **changes)


def plan(given_grounds: Grounds) -> WarmupPlan:
    planned = plan_warmup(given_grounds, a.KUBELET)
    assert isinstance(planned, WarmupPlan), planned
    return planned


def refusal(answer: object) -> Refusal:
    assert isinstance(answer, Refusal), answer
    return answer


def test_a_running_cluster_with_a_ready_node_and_an_identity_can_be_warmed() -> None:
    assert judge_cluster(a.CLUSTER, a.facts()) == a.KUBELET


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (a.facts(power_state="Stopped", nodes=(), kubelet=None), Reason.CLUSTER_STOPPED),
        (a.facts(nodes=(), kubelet=None), Reason.NO_NODES),
        (a.facts(nodes=tuple(replace(n, ready=False) for n in a.nodes())), Reason.NO_NODES),
        (a.facts(nodes=tuple(replace(n, schedulable=False) for n in a.nodes())), Reason.NO_NODES),
        (a.facts(kubelet=None), Reason.NO_KUBELET_IDENTITY),
    ],
)
def test_the_first_thing_in_the_way_is_named_with_its_remedy(facts: ClusterFacts, reason: Reason) -> None:
    answer = refusal(judge_cluster(a.CLUSTER, facts))

    assert answer.reason is reason
    assert answer.message.startswith("cluster 'elb-cluster' ")
    assert answer.remedy


def test_taints_that_bar_every_wanted_node_are_named_with_the_setting_that_admits_the_pods() -> None:
    answer = refusal(judge_cluster(a.CLUSTER, a.facts(nodes=(), barring_taints=("gpu=yes:NoSchedule",))))

    assert answer.reason is Reason.NO_NODES
    assert "gpu=yes:NoSchedule" in answer.message
    assert answer.remedy == "add to the app's setting WARMUP_TOLERATIONS: gpu=yes:NoSchedule"


def test_core_nt_gets_the_two_hours_it_always_had() -> None:
    assert plan(grounds(CORE_NT_BYTES)).deadline - NOW >= timedelta(minutes=120)


def test_a_small_database_gets_the_time_that_grants_and_images_may_take() -> None:
    assert plan(grounds(1)).deadline - NOW == timedelta(minutes=30)


def test_a_ceiling_stretches_the_deadline() -> None:
    capped = plan(grounds(CORE_NT_BYTES, request=a.request(max_mbps_per_node=10)))

    assert capped.deadline - NOW > timedelta(seconds=CORE_NT_BYTES / 10_000_000)


def test_a_ceiling_above_what_disks_do_shortens_nothing() -> None:
    high = grounds(CORE_NT_BYTES, request=a.request(max_mbps_per_node=5_000))

    assert plan(high).deadline == plan(grounds(CORE_NT_BYTES)).deadline


def test_the_operators_deadline_overrules_the_size() -> None:
    ordered = grounds(CORE_NT_BYTES, request=a.request(deadline_minutes=45))

    assert plan(ordered).deadline - NOW == timedelta(minutes=45)


@given(st.integers(0, 10**13), st.none() | st.integers(1, 100_000))
def test_every_deadline_leaves_time_to_copy_at_the_planned_rate(size: int, ceiling: int | None) -> None:
    wide = a.facts(nodes=a.nodes(disk_bytes=0))

    planned = plan(grounds(size, cluster=wide, request=a.request(max_mbps_per_node=ceiling)))

    slowest = min(39_000_000, (ceiling or 39) * 1_000_000)
    needed = max(timedelta(minutes=30), timedelta(seconds=size / slowest))
    assert min(needed, LONGEST_RUN) <= planned.deadline - NOW <= LONGEST_RUN


@given(st.integers(0, 10**13), st.none() | st.integers(1, 100_000))
def test_no_run_may_outlast_what_another_task_hub_waits_for(size: int, ceiling: int | None) -> None:
    wide = a.facts(nodes=a.nodes(disk_bytes=0))

    planned = plan(grounds(size, cluster=wide, request=a.request(max_mbps_per_node=ceiling)))

    assert planned.latest_deadline is not None
    assert planned.deadline - NOW <= planned.latest_deadline - NOW <= LONGEST_RUN < FOREIGN_PATIENCE


def test_a_disk_that_is_too_small_is_named_with_both_figures() -> None:
    small = a.facts(nodes=a.nodes(disk_bytes=128_000_000_000))

    answer = refusal(plan_warmup(grounds(CORE_NT_BYTES, cluster=small), a.KUBELET))

    assert answer.reason is Reason.DISK_TOO_SMALL
    assert (
        "'node0' has a disk of 128 GB and the databases need 289 GB (3 nodes are as small)" in answer.message
    )


def test_a_disk_that_would_be_full_enough_for_evictions_is_too_small() -> None:
    tight = a.facts(nodes=a.nodes(disk_bytes=320_000_000_000))
    roomy = a.facts(nodes=a.nodes(disk_bytes=330_000_000_000))

    assert (
        refusal(plan_warmup(grounds(CORE_NT_BYTES, cluster=tight), a.KUBELET)).reason is Reason.DISK_TOO_SMALL
    )
    assert plan(grounds(CORE_NT_BYTES, cluster=roomy)).node_count == 3


def test_one_small_disk_among_large_ones_is_enough_to_refuse() -> None:
    *large, last = a.nodes()
    mixed = a.facts(nodes=(*large, replace(last, disk_bytes=1)))

    assert "'node2'" in refusal(plan_warmup(grounds(cluster=mixed), a.KUBELET)).message


def test_a_disk_of_unknown_size_is_left_to_the_agent() -> None:
    untold = a.facts(nodes=a.nodes(disk_bytes=0))

    assert plan(grounds(CORE_NT_BYTES, cluster=untold)).node_count == 3


def test_databases_of_one_run_share_the_disk() -> None:
    half = replace(a.STAGED, bytes=300_000_000_000)

    assert refusal(plan_warmup(grounds(databases=(half, half)), a.KUBELET)).reason is Reason.DISK_TOO_SMALL


def test_a_plan_carries_what_was_asked_and_found() -> None:
    planned = plan(grounds(request=a.request(max_mbps_per_node=250)))

    assert (planned.cluster, planned.account, planned.kubelet) == (a.CLUSTER, a.ACCOUNT, a.KUBELET)
    assert (planned.node_count, planned.bytes_per_node) == (3, a.STAGED.bytes)
    assert (planned.selection, planned.max_mbps_per_node) == (a.SELECTION, 250)
