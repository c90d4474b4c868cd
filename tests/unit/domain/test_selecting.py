"""Which nodes are targeted, on the shapes of cluster that there are."""

from typing import Any

import pytest

from shared.domain.model import NodeSelection
from shared.domain.selecting import NodeRules, bytes_of, select_nodes

RULES = NodeRules(labels=(("workload", "blast"),), tolerated_taints=("workload=blast:NoSchedule",))
BLAST_TAINT = {"key": "workload", "value": "blast", "effect": "NoSchedule"}
CRITICAL = {"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"}


def node(name: str, pool: str = "pool", *, mode: str = "user", **more: Any) -> dict[str, Any]:
    labels = {
        "kubernetes.io/os": "linux",
        "kubernetes.azure.com/agentpool": pool,
        "kubernetes.azure.com/mode": mode,
        **more.get("labels", {}),
    }
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels},
        "spec": {"taints": more.get("taints", []), "unschedulable": more.get("cordoned", False)},
        "status": {
            "capacity": {"ephemeral-storage": "129886128Ki"},
            "conditions": [{"type": "Ready", "status": "True" if more.get("ready", True) else "Unknown"}],
        },
    }


def blast(name: str, **more: Any) -> dict[str, Any]:
    return node(name, "blastpool", labels={"workload": "blast"}, taints=[BLAST_TAINT], **more)


def names(items: list[dict[str, Any]], rules: NodeRules = RULES) -> list[str]:
    return [found.name for found in select_nodes(items, rules).nodes]


def test_labelled_nodes_are_the_target_where_there_are_any() -> None:
    items = [node("sys", "systempool", mode="system", taints=[CRITICAL]), blast("b2"), blast("b1"), node("u")]
    selected = select_nodes(items, RULES)

    assert [found.name for found in selected.nodes] == ["b1", "b2"]
    assert selected.selection == NodeSelection(
        labels=(("workload", "blast"),),
        excluded_pools=(),
        tolerated_taints=("workload=blast:NoSchedule",),
    )


def test_without_labels_every_user_pool_counts_and_system_pools_are_left_out_by_name() -> None:
    selected = select_nodes([node("s", "systempool", mode="system"), node("u1"), node("u2")], RULES)

    assert [found.name for found in selected.nodes] == ["u1", "u2"]
    assert selected.selection.labels == ()
    assert selected.selection.excluded_pools == ("systempool",)


def test_a_cluster_of_one_system_pool_for_everything_counts() -> None:
    selected = select_nodes([node("n1", "nodepool1", mode="system")], RULES)

    assert [found.name for found in selected.nodes] == ["n1"]
    assert selected.selection.excluded_pools == ()


def test_a_system_pool_for_critical_addons_alone_never_counts() -> None:
    assert names([node("s", mode="system", taints=[CRITICAL])]) == []


@pytest.mark.parametrize(
    "labels", [{"kubernetes.io/os": "windows"}, {"type": "virtual-kubelet"}, {"kubernetes.io/os": None}]
)
def test_windows_and_virtual_nodes_never_count(labels: dict[str, str]) -> None:
    assert names([node("odd", labels=labels), node("plain")]) == ["plain"]


@pytest.mark.parametrize(
    ("taint", "counts"),
    [
        ({"key": "gpu", "value": "yes", "effect": "NoSchedule"}, False),
        ({"key": "gpu", "value": "yes", "effect": "NoExecute"}, False),
        ({"key": "gpu", "value": "yes", "effect": "PreferNoSchedule"}, True),
        ({"key": "spot", "effect": "NoSchedule"}, True),
        ({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}, True),
    ],
)
def test_a_taint_that_keeps_the_pods_out_keeps_the_node_out(taint: dict[str, str], counts: bool) -> None:  # noqa: FBT001 - a table's column
    rules = NodeRules(labels=(), tolerated_taints=("spot:NoSchedule",))

    assert names([node("n", taints=[taint])], rules) == (["n"] if counts else [])


def test_wanted_nodes_behind_a_taint_are_not_replaced_by_others() -> None:
    spot = {"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"}
    wanted = node("b", "spotpool", labels={"workload": "blast"}, taints=[BLAST_TAINT, spot])
    selected = select_nodes([wanted, node("u")], RULES)

    assert selected.nodes == ()
    assert selected.barring_taints == ("kubernetes.azure.com/scalesetpriority=spot:NoSchedule",)


def test_wanted_nodes_without_the_taint_are_warmed_alone() -> None:
    gpu = node("g", labels={"workload": "blast"}, taints=[{"key": "gpu", "effect": "NoExecute"}])
    selected = select_nodes([gpu, blast("b"), node("u")], RULES)

    assert [found.name for found in selected.nodes] == ["b"]
    assert selected.barring_taints == ()


def test_what_is_known_of_a_node_is_told() -> None:
    (found,) = select_nodes([blast("b", cordoned=True, ready=False)], RULES).nodes

    assert (found.uid, found.pool, found.schedulable, found.ready) == ("uid-b", "blastpool", False, False)
    assert found.disk_bytes == 129886128 * 1024


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("1024", 1024), ("1Mi", 1 << 20), ("1G", 10**9), ("1.5Gi", 0), (7, 0), (None, 0)],
)
def test_quantities_are_read_or_are_nothing(quantity: object, expected: int) -> None:
    assert bytes_of(quantity) == expected


def test_garbled_nodes_break_nothing() -> None:
    assert names([{}, {"metadata": {"labels": []}, "spec": {"taints": ["x"]}}]) == []
