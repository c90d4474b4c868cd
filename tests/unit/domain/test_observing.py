"""What one look at the pods says of each node, in every state that Kubernetes shows."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit import pods
from testkit.builders import DATABASE
from testkit.pods import NOON, RUN, condition, ended, failing, init, pod, running, told, waiting, warm

from shared.domain import naming
from shared.domain.causes import PASSING, Kind, cause_of
from shared.domain.observing import (
    Look,
    MissingPods,
    NodeStanding,
    NodeState,
    daemonset_gone,
    missing_pods,
    read_pod,
    still_missing,
)
from shared.domain.reporting import AgentReport, parse_report

RECORDED = Path(__file__).parents[2] / "golden" / "kubernetes" / "failing-pod-1.34.jsonl"
LOOK = Look(run_id=RUN, now=NOON)
OLD = timedelta(hours=1)
OOM = "OOMKilled"


def live(**changes: Any) -> AgentReport:
    """The last report in a running agent's log."""
    report = parse_report(told(**({"phase": "copying", "digest": None} | changes)))
    assert report is not None
    return report


def kind_of(state: NodeState) -> Kind | None:
    return state.cause.kind if state.cause else None


def test_a_node_is_ready_when_its_agent_says_so_under_this_run() -> None:
    state = read_pod(warm(), LOOK)

    assert (state.standing, state.cause, state.node) == (NodeStanding.READY, None, "node0")
    assert state.report is not None
    assert state.report.digest == "ab" * 16


@pytest.mark.parametrize(
    "message",
    [
        "",
        "done",
        told(run_id="yesterday"),
        told(run_id=None),
        told(phase="copying"),
        told(schema=2),
        told(error={"kind": "damaged", "message": "core_nt.00.nsq"}),
        "[" * 3_000,
    ],
)
def test_a_ready_pod_without_this_runs_own_word_is_not_ready(message: str) -> None:
    look_alike = pod(init(ended(0, message=message)), ready=True)

    assert read_pod(look_alike, LOOK).standing is not NodeStanding.READY


def test_a_pod_of_an_earlier_run_counts_as_active_whatever_it_says() -> None:
    earlier = warm()
    earlier["metadata"]["annotations"][naming.RUN_ANNOTATION] = "yesterday"

    state = read_pod(earlier, LOOK)

    assert (state.standing, state.running, state.cause) == (NodeStanding.ACTIVE, False, None)


def test_a_warm_agent_in_a_pod_that_is_not_ready_yet_is_active() -> None:
    assert read_pod(pod(init(ended(0, message=told()))), LOOK).standing is NodeStanding.ACTIVE


def test_a_ready_pod_on_its_way_out_is_not_ready() -> None:
    leaving = warm()
    leaving["metadata"]["deletionTimestamp"] = pods.stamp(NOON)

    assert read_pod(leaving, LOOK).standing is NodeStanding.ACTIVE


@pytest.mark.parametrize(
    "start", [pod(), pod(init(waiting("PodInitializing"))), pod(init({})), pod(init(running()))]
)
def test_a_pod_that_starts_is_active_without_a_cause(start: pods.Json) -> None:
    state = read_pod(start, LOOK)

    assert (state.standing, state.cause, state.report) == (NodeStanding.ACTIVE, None, None)


def test_a_running_agents_log_tells_how_far_it_is() -> None:
    state = read_pod(pod(init(running())), LOOK, live(bytes_done=40))

    assert state.running
    assert state.report is not None
    assert state.report.bytes_done == 40


def test_a_running_attempt_outweighs_what_the_one_before_left() -> None:
    retried = init(running(), last=ended(8, message=failing("network", bytes_done=90)), restarts=1)

    state = read_pod(pod(retried), LOOK, live(bytes_done=10))

    assert state.standing is NodeStanding.ACTIVE
    assert state.report is not None
    assert state.report.bytes_done == 10


def test_a_log_of_another_run_is_not_believed() -> None:
    assert read_pod(pod(init(running())), LOOK, live(run_id="other")).report is None


@pytest.mark.parametrize("kind", sorted(set(Kind) - PASSING))
def test_what_cannot_pass_fails_the_node_at_once(kind: Kind) -> None:
    state = read_pod(pod(init(ended(5, message=failing(kind.value)))), LOOK)

    assert (state.standing, kind_of(state)) == (NodeStanding.FAILED, kind)
    assert state.cause is not None
    assert (state.cause.message, state.cause.remedy) == ("it broke", "mend it")


@pytest.mark.parametrize("kind", sorted(PASSING))
def test_what_may_pass_is_shown_and_retried(kind: Kind) -> None:
    backing_off = init(waiting("CrashLoopBackOff"), last=ended(7, message=failing(kind.value)), restarts=1)

    state = read_pod(pod(backing_off), LOOK)

    assert (state.standing, kind_of(state)) == (NodeStanding.ACTIVE, kind)


@pytest.mark.parametrize("kind", ["storage_closed", "access_denied", "identity_unavailable", "network"])
def test_what_an_agent_waits_out_is_shown_and_not_judged(kind: str) -> None:
    error = {"kind": kind, "message": "403", "remedy": ""}
    waits = live(phase="waiting_for_access", error=error)

    state = read_pod(pod(init(running()), age=OLD), LOOK, waits)

    assert (state.standing, kind_of(state)) == (NodeStanding.ACTIVE, Kind(kind))


def test_a_first_crash_after_an_hour_of_copying_is_retried() -> None:
    crashed = init(waiting("CrashLoopBackOff"), last=ended(8, message=failing("network")), restarts=1)

    assert read_pod(pod(crashed, age=OLD), LOOK).standing is NodeStanding.ACTIVE


def test_a_fourth_crash_is_a_habit() -> None:
    crashed = init(waiting("CrashLoopBackOff"), last=ended(8, message=failing("network")), restarts=4)

    assert read_pod(pod(crashed), LOOK).standing is NodeStanding.FAILED


@pytest.mark.parametrize("code", [0, 137])
@pytest.mark.parametrize("where", ["state", "lastState"])
def test_want_of_memory_is_told_by_its_reason_not_its_code(code: int, where: str) -> None:
    killed = ended(code, OOM)
    container = (
        init(killed) if where == "state" else init(waiting("CrashLoopBackOff"), last=killed, restarts=1)
    )

    assert kind_of(read_pod(pod(container), LOOK)) is Kind.OUT_OF_MEMORY


def test_a_crash_without_a_report_is_told_by_its_code() -> None:
    state = read_pod(pod(init(ended(128, "StartError", "exec: python3: not found"))), LOOK)

    assert state.cause is not None
    assert state.cause.sentence.startswith("the download ended with exit code 128 (StartError) (on node0)")


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("ErrImagePull", Kind.IMAGE_PULL),
        ("ImagePullBackOff", Kind.IMAGE_PULL),
        ("RegistryUnavailable", Kind.IMAGE_PULL),
        ("CreateContainerConfigError", Kind.CONTAINER_CONFIG),
        ("CreateContainerError", Kind.CONTAINER_CONFIG),
        ("RunContainerError", Kind.CONTAINER_CONFIG),
    ],
)
def test_a_container_that_cannot_start_is_named_at_once_and_fails_when_it_lasts(
    reason: str, kind: Kind
) -> None:
    stuck = init(waiting(reason, "because"))

    young, old = (read_pod(pod(stuck, age=age), LOOK) for age in (timedelta(seconds=20), OLD))

    assert (young.standing, kind_of(young)) == (NodeStanding.ACTIVE, kind)
    assert (old.standing, kind_of(old)) == (NodeStanding.FAILED, kind)


@pytest.mark.parametrize("reason", ["ErrImageNeverPull", "InvalidImageName"])
def test_an_image_that_can_never_come_fails_at_once(reason: str) -> None:
    assert read_pod(pod(init(waiting(reason))), LOOK).standing is NodeStanding.FAILED


def test_a_pause_image_that_cannot_be_pulled_is_named_too() -> None:
    stuck = [{"name": "pause", "image": "mcr/pause:3.9", "state": waiting("ImagePullBackOff")}]
    copied = pod(init(ended(0, message=told())), containerStatuses=stuck)

    state = read_pod(copied, LOOK)

    assert state.cause is not None
    assert "mcr/pause:3.9" in state.cause.message


def test_a_pod_without_room_is_named_with_the_schedulers_words() -> None:
    refused = condition(
        "PodScheduled", "False", NOON - OLD, reason="Unschedulable", message="0/3 nodes: taint"
    )
    homeless = pod(conditions=[refused], age=OLD)
    homeless["spec"] = {"affinity": pinned("node7")}

    state = read_pod(homeless, LOOK)

    assert (state.standing, kind_of(state), state.node) == (NodeStanding.FAILED, Kind.UNSCHEDULABLE, "node7")


def pinned(node: str) -> pods.Json:
    """What a DaemonSet's controller writes into a pod before it is bound."""
    fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def test_an_evicted_pod_is_named_and_given_time_to_be_replaced() -> None:
    moved = [condition("DisruptionTarget", "True")]
    evicted = pod(
        phase="Failed", reason="Evicted", message="low on ephemeral-storage", conditions=moved, age=OLD
    )

    state = read_pod(evicted, LOOK)

    assert (state.standing, kind_of(state)) == (NodeStanding.ACTIVE, Kind.EVICTED)
    assert read_pod(evicted, replace(LOOK, now=NOON + OLD)).standing is NodeStanding.FAILED


@pytest.mark.parametrize(("minutes", "standing"), [(1, NodeStanding.ACTIVE), (6, NodeStanding.FAILED)])
def test_a_node_that_does_not_answer_is_waited_for_a_while(minutes: int, standing: NodeStanding) -> None:
    silent = replace(LOOK, unready={"node0": NOON - timedelta(minutes=minutes)})

    state = read_pod(pod(init(running()), age=OLD), silent, live())

    assert (state.standing, kind_of(state)) == (standing, Kind.NODE_NOT_READY)


def test_a_volume_that_does_not_mount_is_told_by_its_event() -> None:
    state = read_pod(
        pod(init(waiting("PodInitializing"))), replace(LOOK, volume_faults={"uid-x1": "no such directory"})
    )

    assert (kind_of(state), state.standing) == (Kind.VOLUME, NodeStanding.ACTIVE)


def test_a_missing_pod_is_active_at_first_and_then_a_failure() -> None:
    started, late = (missing_pods(2, NOON - timedelta(seconds=age), LOOK) for age in (30, 90))

    assert [state.standing for state in started] == [NodeStanding.ACTIVE] * 2
    assert [kind_of(state) for state in late] == [Kind.POD_MISSING] * 2
    assert all(state.standing is NodeStanding.FAILED for state in late)


POLICY = 'Error creating: pods "warmup-nt-x" is forbidden: violates PodSecurity "baseline:latest": hostPath'
QUOTA = (
    'Error creating: pods "warmup-nt-x" is forbidden: exceeded quota: compute, requested: pods=1, used: '
    "pods=50, limited: pods=50"
)
WEBHOOK = (
    'Error creating: Internal error occurred: failed calling webhook "pods.example.com": failed to call '
    'webhook: Post "https://hook.default.svc:443/?timeout=10s": context deadline exceeded'
)
TIMEOUT = "Error creating: etcdserver: request timed out"


def test_a_pod_that_a_policy_forbids_fails_at_once_with_the_policys_words() -> None:
    (state,) = missing_pods(1, NOON, LOOK, POLICY)

    assert (state.standing, kind_of(state)) == (NodeStanding.FAILED, Kind.POD_REFUSED)
    assert state.cause == cause_of(Kind.POD_REFUSED, POLICY, "(unnamed)")


@pytest.mark.parametrize(
    ("told", "cure"),
    [
        (QUOTA, "ResourceQuota of namespace default"),
        (WEBHOOK, "admission webhook"),
        (TIMEOUT, "DaemonSet's events"),
    ],
    ids=["quota", "webhook", "timeout"],
)
def test_a_pod_that_is_withheld_says_by_what_and_fails_in_time(told: str, cure: str) -> None:
    started, late = (missing_pods(1, NOON - timedelta(seconds=age), LOOK, told)[0] for age in (30, 90))

    assert (started.standing, late.standing) == (NodeStanding.ACTIVE, NodeStanding.FAILED)
    assert started.cause == late.cause is not None
    assert (late.cause.kind, late.cause.message) == (Kind.POD_MISSING, told)
    assert cure in late.cause.remedy
    assert "hostPath" not in late.cause.remedy


def test_pods_are_missing_since_the_controller_last_made_one() -> None:
    last: tuple[MissingPods, ...] = ()
    for look, count in enumerate((1_000, 700, 400, 100)):
        now = NOON + look * timedelta(seconds=20)
        missing = still_missing(DATABASE, count, last, now)
        assert missing == MissingPods(database=DATABASE, count=count, since=now)
        last = (missing,)

    assert (still_missing(DATABASE, 100, last, NOON + OLD),) == last
    assert still_missing(DATABASE, 0, last, NOON + OLD) is None
    assert (still_missing(replace(DATABASE, name="nt"), 100, last, NOON + OLD),) != last


def test_more_pods_than_wanted_are_no_missing_ones() -> None:
    assert missing_pods(-1, NOON, LOOK) == ()


def test_a_daemonset_that_somebody_deleted_is_a_failure() -> None:
    assert (daemonset_gone().standing, kind_of(daemonset_gone())) == (NodeStanding.FAILED, Kind.POD_MISSING)


def recorded() -> list[pods.Json]:
    """The captured pods, as if their first init container were ours."""
    lines = RECORDED.read_text(encoding="utf-8").splitlines()[1:]
    seen = [json.loads(line.replace('"name":"stage"', f'"name":"{naming.INIT_CONTAINER}"')) for line in lines]
    for each in seen:
        each["metadata"]["annotations"] = {naming.RUN_ANNOTATION: RUN}
    return seen


def test_a_real_kubelets_failures_and_restarts_are_followed() -> None:
    born = recorded()[0]["metadata"]["creationTimestamp"]
    now = pods.NOON.fromisoformat(born) + timedelta(minutes=1)

    states = [read_pod(each, Look(run_id=RUN, now=now)) for each in recorded()]

    assert {state.node for state in states} == {"node1"}
    assert [state.restarts for state in states] == sorted(state.restarts for state in states)
    assert kind_of(states[0]) is None
    assert all(kind_of(state) is Kind.CRASHED for state in states[1:7])
    assert all(state.standing is NodeStanding.ACTIVE for state in states)  # nobody's report: nobody is ready


def test_a_pod_that_crashed_before_it_succeeded_is_ready() -> None:
    last = deepcopy(recorded()[-1])
    last["status"]["initContainerStatuses"][0]["state"]["terminated"]["message"] = told()

    state = read_pod(last, LOOK)

    assert (state.standing, state.restarts) == (NodeStanding.READY, 3)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    *("metadata", "spec", "status", "annotations", "creationTimestamp", "conditions", "nodeName"),
    *("initContainerStatuses", "containerStatuses", "state", "lastState", "terminated", "message"),
    "restartCount",
]


def mangled(value: Any, key: str, junk: Any) -> Any:
    """The same document with every value of one key replaced."""
    if isinstance(value, dict):
        return {name: junk if name == key else mangled(inner, key, junk) for name, inner in value.items()}
    return [mangled(item, key, junk) for item in value] if isinstance(value, list) else value


@given(st.sampled_from(KEYS), JSON)
def test_no_malformed_pod_breaks_a_look_or_becomes_warm(key: str, junk: Any) -> None:
    backing_off = init(waiting("CrashLoopBackOff"), last=ended(7, message=failing("network")), restarts=1)

    for whole in (warm(), pod(backing_off)):
        assert isinstance(read_pod(mangled(whole, key, junk), LOOK), NodeState)
    if key in (
        "metadata",
        "annotations",
        "status",
        "conditions",
        "initContainerStatuses",
        "state",
        "message",
    ):
        assert read_pod(mangled(warm(), key, junk), LOOK).standing is not NodeStanding.READY


@pytest.mark.parametrize("moment", ["2026-05-01", "2026-05-01T12:00:00", "yesterday", ""])
def test_a_moment_without_a_zone_breaks_nothing(moment: str) -> None:
    odd = pod(init(waiting("ImagePullBackOff")))
    odd["metadata"]["creationTimestamp"] = moment

    assert kind_of(read_pod(odd, LOOK)) is Kind.IMAGE_PULL


@pytest.mark.parametrize(
    ("made", "standing"),
    [
        (NOON - OLD, NodeStanding.READY),
        (NOON + timedelta(minutes=1), NodeStanding.READY),  # two clocks
        (NOON + timedelta(minutes=3), NodeStanding.ACTIVE),
    ],
)
def test_a_node_that_came_back_under_its_name_is_not_warm_by_what_the_one_before_said(
    made: datetime, standing: NodeStanding
) -> None:
    seen = read_pod(warm(), replace(LOOK, made={"node0": made}))

    assert seen.standing is standing
    assert (seen.report is None) == (standing is NodeStanding.ACTIVE)


REFUSED = "failed to authorize: unexpected status from GET request: 401 Unauthorized"
ABSENT = "elbacr.azurecr.io/ncbi/elb:1.4.0: not found"


@pytest.mark.parametrize(
    ("reason", "message", "minutes", "standing"),
    [
        ("ErrImagePull", REFUSED, 15, NodeStanding.ACTIVE),  # AcrPull acts after ten minutes, and a pause
        ("ImagePullBackOff", "Back-off pulling image", 15, NodeStanding.ACTIVE),
        ("ImagePullBackOff", REFUSED, 17, NodeStanding.FAILED),
        ("ErrImagePull", ABSENT, 4, NodeStanding.ACTIVE),
        ("ErrImagePull", ABSENT, 6, NodeStanding.FAILED),
        ("CreateContainerConfigError", "", 6, NodeStanding.FAILED),
    ],
)
def test_a_pull_is_waited_for_until_a_new_role_acts(
    reason: str, message: str, minutes: int, standing: NodeStanding
) -> None:
    look = replace(LOOK, now=NOON + timedelta(minutes=minutes))

    assert read_pod(pod(init(waiting(reason, message))), look).standing is standing
