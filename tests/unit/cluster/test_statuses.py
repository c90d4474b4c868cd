from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from local.cluster.nodes import statuses
from local.cluster.nodes.backoff import Backoff

Json = dict[str, Any]

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def ended(code: int = 1, reason: str = "Error") -> statuses.Ending:
    return statuses.Ending(exit_code=code, reason=reason, started_at=NOW, finished_at=NOW)


def fresh(name: str = "c") -> Json:
    return statuses.initial({"name": name, "image": "i"})


def pod(**spec: Any) -> Json:
    inits, mains = [{"name": "i"}], [{"name": "c"}]
    return {"spec": {"initContainers": inits, "containers": mains, "restartPolicy": "Always", **spec}}


def test_an_attempt_remembers_the_one_before_and_counts() -> None:
    first = statuses.terminated(statuses.running(fresh(), "id-1", NOW, ready=False), ended(), init=True)
    second = statuses.running(first, "id-2", NOW, ready=False)
    assert (second["restartCount"], second["lastState"]["terminated"]["containerID"]) == (1, "id-1")


def test_waiting_keeps_the_last_ending_and_the_count() -> None:
    failed = statuses.terminated(statuses.running(fresh(), "id-1", NOW, ready=False), ended(7), init=True)
    waits = statuses.waiting(failed, "CrashLoopBackOff", "back-off 10s")
    assert (waits["restartCount"], waits["lastState"]["terminated"]["exitCode"]) == (0, 7)


def test_an_init_container_that_succeeded_forgets_its_failures() -> None:
    failed = statuses.terminated(statuses.running(fresh(), "id-1", NOW, ready=False), ended(), init=True)
    again = statuses.running(failed, "id-2", NOW, ready=False)
    done = statuses.terminated(again, ended(0, statuses.COMPLETED), init=True)
    assert (done["lastState"], done["restartCount"], done["ready"]) == ({}, 1, True)


def test_oom_with_code_0_is_no_success() -> None:
    attempt = statuses.running(fresh(), "id-1", NOW, ready=False)
    found = statuses.terminated(attempt, ended(0, statuses.OOM_KILLED), init=True)
    assert found["ready"] is False


def test_a_pod_is_pending_until_its_init_containers_are_done_and_then_runs() -> None:
    states = {"i": fresh("i"), "c": fresh()}
    assert statuses.pod_status(pod(), states, NOW, sandbox=True)["phase"] == "Pending"
    states["i"] = statuses.terminated(
        statuses.running(fresh("i"), "x", NOW, ready=False), ended(0, statuses.COMPLETED), init=True
    )
    assert statuses.pod_status(pod(), states, NOW, sandbox=True)["phase"] == "Pending"
    states["c"] = statuses.running(fresh(), "y", NOW, ready=True)
    assert statuses.pod_status(pod(), states, NOW, sandbox=True)["phase"] == "Running"


def test_a_pod_that_is_never_restarted_fails_or_succeeds() -> None:
    never = pod(restartPolicy="Never", initContainers=[])
    attempt = statuses.running(fresh(), "y", NOW, ready=True)
    for ending, phase in ((ended(1), "Failed"), (ended(0, statuses.COMPLETED), "Succeeded")):
        states = {"c": statuses.terminated(attempt, ending, init=False)}
        assert statuses.pod_status(never, states, NOW, sandbox=True)["phase"] == phase


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    states = {"i": fresh("i"), "c": fresh()}
    first = statuses.pod_status(pod(), states, NOW, sandbox=False)
    later = NOW + timedelta(minutes=1)
    second = statuses.pod_status({**pod(), "status": first}, states, later, sandbox=True)
    times = {condition["type"]: condition["lastTransitionTime"] for condition in second["conditions"]}
    assert times["Ready"] == "2026-11-24T00:00:00Z"
    assert times["PodReadyToStartContainers"] == "2026-11-24T00:01:00Z"


def test_the_first_restart_comes_at_once_and_the_last_ones_every_five_minutes() -> None:
    backoff = Backoff(first_seconds=10)
    told = [pause.told_seconds if (pause := backoff.pause(failures)) else 0 for failures in range(1, 9)]
    assert told == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_container_that_ran_long_begins_anew() -> None:
    backoff = Backoff(first_seconds=10)
    assert backoff.failures_after(5, ran_seconds=599) == 6
    assert backoff.failures_after(5, ran_seconds=600) == 1
