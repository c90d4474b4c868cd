"""What lists of Kubernetes objects say together."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from testkit.builders import state

from shared.domain import looking, naming
from shared.domain.causes import Kind, cause_of
from shared.domain.observing import NodeStanding, NodeState

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAEMONSET: dict[str, Any] = {
    "metadata": {"name": "warmup-nt", "uid": "ds-1", "generation": 3},
    "spec": {"template": {"metadata": {"annotations": {naming.RUN_ANNOTATION: "run-1"}}}},
    "status": {"observedGeneration": 3, "desiredNumberScheduled": 2},
}

GATEKEEPER = (
    'Error creating: admission webhook "validation.gatekeeper.sh" denied the request: '
    '[azurepolicy-k8sazurev2hostfilesystem] HostPath volume {"hostPath": {"path": "/workspace"}}: not allowed'
)


def pod(name: str, node: str | None, born: int = 0, **metadata: Any) -> dict[str, Any]:
    owner = {"uid": metadata.pop("owner", "ds-1"), "controller": True}
    stamp = (NOON + timedelta(seconds=born)).isoformat()
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": stamp,
            "ownerReferences": [owner],
            **metadata,
        },
        "spec": {} if node is None else {"nodeName": node},
    }


def chosen(*pods: dict[str, Any], nodes: tuple[str, ...] = ("n1", "n2")) -> list[str]:
    return [looking.name_of(each) for each in looking.pods_of(DAEMONSET, pods, dict.fromkeys(nodes, True))]


def event(**changes: Any) -> dict[str, Any]:
    return {
        "reason": "FailedCreate",
        "message": 'Error creating: pods "warmup-nt-x" is forbidden: violates PodSecurity "baseline:latest"',
        "involvedObject": {"uid": "ds-1"},
        "lastTimestamp": NOON.isoformat(),
        **changes,
    }


def test_pods_of_other_owners_do_not_count() -> None:
    assert chosen(pod("mine", "n1"), pod("other", "n2", owner="ds-2")) == ["mine"]


def test_of_two_pods_on_a_node_the_newer_counts() -> None:
    assert chosen(pod("new", "n1", born=9), pod("old", "n1", born=1)) == ["new"]


def test_a_leaving_pod_counts_only_for_want_of_another() -> None:
    leaving = pod("leaving", "n1", born=9, deletionTimestamp=NOON.isoformat())

    assert chosen(leaving) == ["leaving"]
    assert chosen(leaving, pod("stays", "n1", born=1)) == ["stays"]


def test_pods_of_a_node_that_left_are_dropped_and_unbound_ones_kept() -> None:
    assert chosen(pod("gone", "n9"), pod("unbound", None), pod("unbound-2", None)) == ["unbound", "unbound-2"]


def test_no_list_of_nodes_drops_no_pod() -> None:
    assert chosen(pod("a", "n1"), nodes=()) == ["a"]


def test_a_daemonset_is_settled_once_the_controller_has_seen_this_runs_template() -> None:
    behind = {**DAEMONSET, "status": {"observedGeneration": 2}}

    assert looking.is_settled(DAEMONSET, "run-1")
    assert not looking.is_settled(DAEMONSET, "run-2")
    assert not looking.is_settled(behind, "run-1")
    assert not looking.is_settled({}, "run-1")


def test_a_printed_table_tells_which_nodes_are_ready() -> None:
    table = {
        "columnDefinitions": [{"name": "Name"}, {"name": "Roles"}, {"name": "Status"}],
        "rows": [
            {"cells": ["n1", "<none>", "Ready"]},
            {"cells": ["n2", "<none>", "Ready,SchedulingDisabled"]},
            {"cells": ["n3", "<none>", "NotReady"]},
            {"cells": ["n4"]},
        ],
    }

    assert looking.nodes_in(table) == {"n1": True, "n2": True, "n3": False}
    assert looking.nodes_in({"kind": "NodeList", "items": []}) == {}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, True),
        ({"message": GATEKEEPER}, True),
        ({"involvedObject": {"uid": "ds-2"}}, False),
        ({"reason": "SuccessfulCreate"}, False),
        ({"message": "etcdserver: request timed out"}, True),
        ({"lastTimestamp": (NOON - timedelta(hours=1)).isoformat()}, False),
        ({"lastTimestamp": None, "eventTime": NOON.isoformat()}, True),
        ({"lastTimestamp": "yesterday"}, False),
    ],
)
def test_a_failed_creation_is_told_only_if_it_is_this_daemonsets_and_new(
    changes: dict[str, Any],
    told: bool,  # noqa: FBT001 - a table's column
) -> None:
    assert bool(looking.failed_creation(DAEMONSET, [event(**changes)], NOON)) is told


def test_of_several_failed_creations_the_newest_is_told() -> None:
    at = [(NOON + timedelta(minutes=minutes)).isoformat() for minutes in (1, 3, 2)]
    events = [event(message=f"said at {stamp}", lastTimestamp=stamp) for stamp in at]

    assert looking.failed_creation(DAEMONSET, events, NOON) == f"said at {at[1]}"


def test_the_rows_of_a_table_tell_when_their_nodes_were_made() -> None:
    made = {"metadata": {"name": "n", "creationTimestamp": NOON.isoformat()}}
    rows = [{"cells": [], "object": made}, {"cells": []}, {"object": {"metadata": {"name": "m"}}}]

    assert looking.made_in({"rows": rows}) == {"n": NOON}


def test_what_happens_in_the_second_in_which_all_began_is_told() -> None:
    began = NOON + timedelta(seconds=0.7)

    assert looking.failed_creation(DAEMONSET, [event(lastTimestamp=NOON.isoformat())], began)
    assert not looking.failed_creation(
        DAEMONSET, [event(lastTimestamp=NOON.isoformat())], began + timedelta(seconds=1)
    )


def test_a_volume_that_does_not_mount_is_told_by_pod() -> None:
    fault = event(reason="FailedMount", message="not a directory", involvedObject={"uid": "uid-a"})

    assert looking.volume_faults([fault, event()], NOON) == {"uid-a": "not a directory"}


def busy(count: int) -> list[NodeState]:
    return [
        replace(state(f"n{n:03}"), pod=f"p{n:03}", pod_uid=f"u{n:03}", running=True) for n in range(count)
    ]


def test_few_busy_nodes_are_all_read() -> None:
    idle = replace(state("idle"), running=False)

    assert len(looking.busy_in_turn([*busy(5), idle], {})) == 5


def read_in_turn(crowd: list[NodeState], asked: dict[str, datetime], now: datetime) -> set[str]:
    chosen = looking.busy_in_turn(crowd, asked)
    assert len(chosen) == looking.MAX_BUSY_LOGS
    asked |= {each.pod_uid: now for each in chosen}
    return {each.pod for each in chosen}


def test_many_busy_nodes_take_turns_until_all_had_theirs() -> None:
    crowd, asked = busy(100), dict[str, datetime]()
    turns = [read_in_turn(crowd, asked, NOON + timedelta(seconds=look)) for look in range(4)]

    assert set().union(*turns) == {each.pod for each in crowd}


def test_each_instance_of_the_app_hears_every_node_though_they_look_by_turns() -> None:
    crowd = busy(64)
    known: tuple[dict[str, datetime], ...] = ({}, {})
    for look in range(4):
        read_in_turn(crowd, known[look % 2], NOON + timedelta(seconds=look))

    assert [len(asked) for asked in known] == [64, 64]


def test_a_node_says_itself_since_when_it_has_not_been_ready() -> None:
    def node(name: str, status: str) -> dict[str, Any]:
        condition = {"type": "Ready", "status": status, "lastTransitionTime": NOON.isoformat()}
        return {"metadata": {"name": name}, "status": {"conditions": [condition]}}

    later = NOON + timedelta(minutes=9)
    nodes = [node("a", "Unknown"), node("b", "True"), {"metadata": {"name": "c"}}]

    assert looking.unready_since(nodes, later) == {"a": NOON, "c": later}


def test_one_log_is_read_for_each_cause_that_has_one() -> None:
    def failing(name: str, kind: Kind, standing: NodeStanding = NodeStanding.FAILED) -> NodeState:
        return replace(state(name), pod=f"p-{name}", standing=standing, cause=cause_of(kind, "…", name))

    states = [
        failing("a", Kind.CRASHED, NodeStanding.ACTIVE),
        failing("b", Kind.CRASHED),
        failing("c", Kind.DISK_FULL),
        failing("d", Kind.IMAGE_PULL),
        replace(failing("e", Kind.POD_MISSING), pod=""),
        state("f"),
    ]

    assert [each.node for each in looking.failing_with_logs(states)] == ["b", "c"]


def test_nothing_garbled_breaks_a_look() -> None:
    junk = json.loads('[{}, {"metadata": []}, {"metadata": {"ownerReferences": [1, {"uid": []}]}}]')

    assert looking.pods_of(DAEMONSET, junk, {}) == ()
    assert looking.volume_faults(junk, NOON) == {}
    assert looking.failed_creation({}, junk, NOON) == ""
    assert looking.nodes_in({"columnDefinitions": 1, "rows": [{"cells": {}}]}) == {}
