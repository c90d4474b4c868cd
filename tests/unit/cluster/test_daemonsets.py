"""The reconciler: one node, one pod; followed twice, a plan changes nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from local.cluster.daemonsets import (
    REVISION_LABEL,
    Plan,
    allowed_unavailable,
    new_pod,
    node_of,
    reconcile,
    revision_of,
)
from local.cluster.defaulting import with_defaults
from local.cluster.resources import DAEMON_SETS

Json = dict[str, Any]


def daemon_set(*, max_unavailable: int | str = 1, generation: int = 1, **spec: Any) -> Json:
    body = {
        "metadata": {"name": "d", "namespace": "default", "uid": "ds-uid", "generation": generation},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "updateStrategy": {"rollingUpdate": {"maxUnavailable": max_unavailable}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
            },
        },
    }
    return with_defaults(DAEMON_SETS, body)


def node(name: str, *, taints: list[Json] | None = None, labels: dict[str, str] | None = None) -> Json:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"taints": taints or []}}


def pod(owner: Json, where: str, number: int = 0, *, ready: bool = True, phase: str = "Running") -> Json:
    made = new_pod(owner, where)
    made["metadata"] |= {"name": f"d-{where}-{number}", "creationTimestamp": f"2026-01-01T00:00:{number:02}Z"}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {**made, "status": {"phase": phase, "conditions": conditions}}


def outdated(found: Json) -> Json:
    labels = {**found["metadata"]["labels"], REVISION_LABEL: "older"}
    return {**found, "metadata": {**found["metadata"], "labels": labels}}


def deleting(found: Json) -> Json:
    return {**found, "metadata": {**found["metadata"], "deletionTimestamp": "2026-01-01T00:01:00Z"}}


def followed(owner: Json, pods: list[Json], plan: Plan) -> list[Json]:
    """The pods after a plan, as the API and the nodes would have it at once."""
    kept = [found for found in pods if found["metadata"]["name"] not in plan.delete]
    return kept + [pod(owner, where, 59, ready=False) for where in plan.create_on]


NOSCHEDULE = {"key": "k", "effect": "NoSchedule"}
NOEXECUTE = {"key": "k", "effect": "NoExecute"}

nodes_strategy = st.lists(
    st.builds(
        lambda number, taints: node(f"n{number}", taints=taints),
        st.integers(0, 5),
        st.sampled_from([[], [NOSCHEDULE], [NOEXECUTE]]),
    ),
    max_size=6,
    unique_by=lambda found: found["metadata"]["name"],
)


@st.composite
def pods_strategy(draw: st.DrawFn) -> list[Json]:
    owner = daemon_set()
    found = []
    for number in range(draw(st.integers(0, 8))):
        made = pod(
            owner,
            f"n{draw(st.integers(0, 6))}",
            number,
            ready=draw(st.booleans()),
            phase=draw(st.sampled_from(["Running", "Pending", "Failed"])),
        )
        changed = draw(st.sampled_from([made, outdated(made), deleting(made)]))
        found.append(changed)
    return found


@given(nodes=nodes_strategy, pods=pods_strategy(), share=st.sampled_from([1, 2, "50%", "100%"]))
def test_a_plan_that_was_followed_leaves_nothing_to_create_twice(
    nodes: list[Json], pods: list[Json], share: int | str
) -> None:
    owner = daemon_set(max_unavailable=share)
    state = pods
    # Each round may free seats that the next one fills; a round for creating and one for deleting settle it.
    for _ in range(len(pods) + 3):
        state = followed(owner, state, reconcile(owner, nodes, state))
    settled = reconcile(owner, nodes, state)
    assert (settled.create_on, settled.delete) == ((), ())
    assert settled == reconcile(owner, nodes, state)


@given(nodes=nodes_strategy, pods=pods_strategy())
def test_counts_add_up(nodes: list[Json], pods: list[Json]) -> None:
    status = reconcile(daemon_set(), nodes, pods).status
    desired, ready = status["desiredNumberScheduled"], status["numberReady"]
    assert 0 <= ready <= status["currentNumberScheduled"] <= desired <= len(nodes)
    assert status.get("updatedNumberScheduled", 0) <= status["currentNumberScheduled"]
    assert status.get("numberAvailable", 0) + status.get("numberUnavailable", 0) == desired


@given(nodes=nodes_strategy, pods=pods_strategy(), share=st.integers(1, 4))
def test_a_rolling_update_takes_no_more_ready_pods_than_it_may(
    nodes: list[Json], pods: list[Json], share: int
) -> None:
    plan = reconcile(daemon_set(max_unavailable=share), nodes, pods)
    wanted = {found["metadata"]["name"] for found in nodes if not found["spec"]["taints"]}
    serving = [
        found
        for found in pods
        if found["metadata"]["name"] in plan.delete
        and node_of(found) in wanted
        and found["metadata"]["labels"][REVISION_LABEL] == "older"
        and found["status"]["conditions"][0]["status"] == "True"
        and found["status"]["phase"] != "Failed"
    ]
    seats = {node_of(found) for found in serving}
    doubles = len(serving) - len(seats)
    assert len(serving) - doubles <= share


def test_every_node_gets_one_pod() -> None:
    plan = reconcile(daemon_set(), [node("a"), node("b")], [])
    assert (plan.create_on, plan.delete) == (("a", "b"), ())


def test_a_second_pod_on_a_node_goes_and_the_older_one_stays() -> None:
    owner = daemon_set()
    plan = reconcile(owner, [node("a")], [pod(owner, "a", 2), pod(owner, "a", 1)])
    assert plan.delete == ("d-a-2",)


def test_a_node_that_left_takes_its_pod_along() -> None:
    owner = daemon_set()
    assert reconcile(owner, [], [pod(owner, "gone")]).delete == ("d-gone-0",)


def test_no_pod_is_made_beside_one_that_is_still_ending() -> None:
    owner = daemon_set()
    plan = reconcile(owner, [node("a")], [deleting(pod(owner, "a"))])
    assert (plan.create_on, plan.delete) == ((), ())


def test_a_failed_pod_is_replaced_and_told() -> None:
    owner = daemon_set()
    plan = reconcile(owner, [node("a")], [pod(owner, "a", phase="Failed")])
    assert (plan.delete, plan.failed) == (("d-a-0",), ("d-a-0",))


def test_a_taint_keeps_new_pods_away_and_lets_old_ones_stay() -> None:
    owner, tainted = daemon_set(), node("a", taints=[NOSCHEDULE])
    assert reconcile(owner, [tainted], []).create_on == ()
    plan = reconcile(owner, [tainted], [pod(owner, "a")])
    assert plan.delete == ()
    assert (plan.status["desiredNumberScheduled"], plan.status["numberMisscheduled"]) == (0, 1)


def test_a_pod_that_a_taint_lets_stay_goes_with_the_next_change_and_is_not_made_again() -> None:
    owner, nodes = daemon_set(max_unavailable="100%"), [node("a"), node("b", taints=[NOSCHEDULE])]
    plan = reconcile(owner, nodes, [pod(owner, "a"), outdated(pod(owner, "b"))])
    assert (plan.delete, plan.create_on) == (("d-b-0",), ())


def test_an_evicting_taint_drives_pods_away_unless_tolerated() -> None:
    tainted = node("a", taints=[NOEXECUTE])
    owner = daemon_set()
    assert reconcile(owner, [tainted], [pod(owner, "a")]).delete == ("d-a-0",)
    tolerant = daemon_set(tolerations=[{"key": "k", "operator": "Exists"}])
    assert reconcile(tolerant, [tainted], []).create_on == ("a",)


def test_a_cordoned_node_is_wanted_all_the_same() -> None:
    cordoned = node("a", taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}])
    assert reconcile(daemon_set(), [cordoned], []).create_on == ("a",)


def test_node_selectors_and_affinity_choose() -> None:
    nodes = [node("a", labels={"disk": "fast"}), node("b", labels={"disk": "slow"}), node("c")]
    assert reconcile(daemon_set(nodeSelector={"disk": "fast"}), nodes, []).create_on == ("a",)
    term = {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}
    affinity = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    }
    assert reconcile(daemon_set(affinity=affinity), nodes, []).create_on == ("a", "b")


def test_an_update_goes_node_by_node_or_everywhere_at_once() -> None:
    nodes = [node(name) for name in "abcd"]

    def deleted(share: int | str) -> int:
        owner = daemon_set(max_unavailable=share)
        return len(reconcile(owner, nodes, [outdated(pod(owner, name)) for name in "abcd"]).delete)

    assert [deleted(share) for share in (1, 3, "50%", "1%", "100%")] == [1, 3, 2, 1, 4]


def test_an_outdated_pod_that_is_not_ready_goes_at_once() -> None:
    owner = daemon_set(max_unavailable=1)
    pods = [outdated(pod(owner, "a", ready=False)), outdated(pod(owner, "b", ready=False))]
    assert len(reconcile(owner, [node("a"), node("b")], pods).delete) == 2


def test_on_delete_waits_for_the_operator() -> None:
    owner = daemon_set()
    owner["spec"]["updateStrategy"] = {"type": "OnDelete"}
    assert reconcile(owner, [node("a")], [outdated(pod(owner, "a"))]).delete == ()


def test_a_share_of_nodes_is_rounded_up() -> None:
    assert [allowed_unavailable(daemon_set(max_unavailable=share), 3) for share in ("1%", "50%", 2)] == [
        1,
        2,
        2,
    ]


def test_only_the_template_makes_a_revision() -> None:
    one, other = daemon_set(max_unavailable=1), daemon_set(max_unavailable=2)
    assert revision_of(one) == revision_of(other)
    assert revision_of(one) != revision_of(daemon_set(hostNetwork=True))


def test_a_new_pod_is_pinned_to_its_node_and_tolerates_what_every_daemon_does() -> None:
    made = new_pod(daemon_set(hostNetwork=True), "a")
    assert node_of(made) == "a"
    keys = [toleration["key"].rpartition("/")[2] for toleration in made["spec"]["tolerations"]]
    assert keys == [
        "not-ready",
        "unreachable",
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
        "network-unavailable",
    ]
    assert made["metadata"]["labels"]["pod-template-generation"] == "1"
