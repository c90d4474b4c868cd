from __future__ import annotations

from typing import Any

import pytest

from local.cluster.quantities import parse_quantity
from local.cluster.scheduling import place, requests_of, tolerates

Json = dict[str, Any]


def node(name: str, **spec: Any) -> Json:
    allocatable = {"cpu": "2", "memory": "1Gi", "pods": "2"}
    return {"metadata": {"name": name, "labels": {}}, "spec": spec, "status": {"allocatable": allocatable}}


def pod(memory: str = "0", **spec: Any) -> Json:
    container = {"name": "c", "resources": {"requests": {"memory": memory}}}
    return {"metadata": {"name": "p"}, "spec": {"containers": [container], **spec}}


def test_the_emptiest_node_is_taken() -> None:
    placement = place(pod(), [node("a"), node("b")], {"a": [pod()]})
    assert placement.node == "b"


def test_reasons_are_counted_as_the_scheduler_words_them() -> None:
    nodes = [
        node("a", taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]),
        node("b", taints=[{"key": "spot", "value": "x", "effect": "NoSchedule"}]),
        node("c"),
        node("d"),
    ]
    placement = place(pod("2Gi"), nodes, {"d": [pod(), pod()]})
    assert placement.node is None
    assert placement.message == (
        "0/4 nodes are available: 1 Insufficient memory, 1 Too many pods, "
        "1 node(s) had untolerated taint {spot: x}, 1 node(s) were unschedulable."
    )


def test_what_neighbours_take_is_taken() -> None:
    assert place(pod("600Mi"), [node("a")], {"a": [pod("600Mi")]}).node is None
    assert place(pod("400Mi"), [node("a")], {"a": [pod("600Mi")]}).node == "a"


def test_a_pod_takes_the_larger_of_its_init_and_its_main_containers() -> None:
    init = {"name": "i", "resources": {"requests": {"memory": "300Mi", "cpu": "100m"}}}
    wanted = requests_of(pod("200Mi", initContainers=[init]))
    assert wanted == {"cpu": 0.1, "memory": 300 * 2**20}


@pytest.mark.parametrize(
    ("toleration", "holds"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Equal", "value": "other"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"value": "v"}, False),
    ],
)
def test_tolerations(toleration: Json, holds: bool) -> None:  # noqa: FBT001 - a table's column
    assert tolerates(toleration, {"key": "k", "value": "v", "effect": "NoSchedule"}) is holds


def test_what_is_no_quantity_is_told() -> None:
    with pytest.raises(ValueError, match="'1 GB' is no quantity"):
        parse_quantity("1 GB")
