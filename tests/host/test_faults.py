"""What the host's control does to invocations, and that every run still ends as it should."""

import json
import signal
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from testkit.hosting import PATIENCE_SECONDS, RunningHost, Starter

Json = dict[str, Any]

KILLS = 5
STEPS = 60  # of a run: more than it takes between the kills


@pytest.fixture
def host(start_host: Starter, tmp_path: Path) -> RunningHost:
    return start_host("--control", "--log-level", "error", env={"TRACE_FILE": str(tmp_path / "trace")})


def put(host: RunningHost, *faults: Json, seed: int = 0) -> None:
    answer = host.ask("PUT", "/admin/faults", json.dumps({"seed": seed, "faults": faults}))
    assert answer.status == 200, answer.body


def trace(tmp_path: Path) -> list[str]:
    return (tmp_path / "trace").read_text().splitlines() if (tmp_path / "trace").exists() else []


def test_an_activity_fails_on_demand_as_often_as_was_said(host: RunningHost) -> None:
    put(host, {"effect": "error", "function": "square", "count": 1})

    failed, again = host.run("poll", 1), host.run("poll", 1)

    assert failed["runtimeStatus"] == "Failed"
    assert "injected: nothing was done" in failed["output"]
    assert again["output"] == 1


def test_a_lost_reply_is_done_and_reported_as_failed(host: RunningHost, tmp_path: Path) -> None:
    put(host, {"effect": "lost_reply", "function": "nap"})
    instance_id = host.start("leave_activity_open")

    status = host.until(instance_id, query="?showHistory=true")

    (failed,) = (event for event in status["historyEvents"] if event["EventType"] == "TaskFailed")
    assert "injected: it was done, and the reply was lost" in failed["Reason"]
    assert trace(tmp_path) == ["nap 0.5", "rested"]


def test_an_activity_that_hangs_is_ended_by_the_function_time_out(
    start_host: Starter, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    app.mkdir()
    source = (Path(__file__).parent / "app/function_app.py").read_text()
    (app / "function_app.py").write_text(source)
    (app / "host.json").write_text('{"functionTimeout": "00:00:05"}')
    host = start_host("--control", app=app)
    put(host, {"effect": "hang", "count": 1})

    assert "Timeout value of 00:00:05 was exceeded" in host.run("poll", 1)["output"]
    assert host.run("poll", 1)["output"] == 1


def test_an_http_function_fails_by_its_name(host: RunningHost) -> None:
    put(host, {"effect": "error", "function": "hello", "count": 1})

    assert [host.ask("GET", "/api/hello").status for _ in range(2)] == [500, 200]


def test_the_same_seed_hits_the_same_invocations(host: RunningHost) -> None:
    def hits(seed: int) -> list[bool]:
        put(host, {"effect": "error", "function": "hello", "share": 0.5}, seed=seed)
        return [host.ask("GET", "/api/hello").status == 500 for _ in range(20)]

    first, again, other = hits(7), hits(7), hits(8)
    assert first == again
    assert first != other
    assert 0 < sum(first) < 20


@pytest.mark.parametrize("effect", ["kill_before", "kill_after"])
def test_a_host_that_is_killed_again_and_again_ends_every_run(
    start_host: Starter, tmp_path: Path, effect: str
) -> None:
    arguments = ("--control", "--state", str(tmp_path / "state.db"), "--log-level", "error")
    host = start_host(*arguments)
    polls = [host.start("poll", STEPS, instance_id=f"poll-{number}") for number in range(3)]
    for _ in range(KILLS):
        with suppress(OSError, HTTPException):  # it may be dead before it has answered
            put(host, {"effect": effect})
        assert host.process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        host = start_host(*arguments)

    assert [host.until(each)["output"] for each in polls] == [STEPS] * 3


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '{"faults": [{}]}',
        '{"faults": [{"effect": "explode"}]}',
        '{"faults": [{"effect": "hang", "x": 1}]}',
        '{"faults": [{"effect": "hang", "seconds": "long"}]}',
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(host: RunningHost, body: str) -> None:
    assert host.ask("PUT", "/admin/faults", body).status == 400
    assert host.ask("GET", "/admin/faults").json == {"seed": 0, "faults": []}


def test_nobody_can_ask_for_faults_unless_the_host_was_started_so(start_host: Starter) -> None:
    host = start_host("--log-level", "error")

    assert host.ask("PUT", "/admin/faults", "{}").status == 404


def test_the_control_is_behind_the_master_key(start_host: Starter, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    host = start_host("--control", "--enable-auth", "--ready-file", str(ready))
    key = {"x-functions-key": json.loads(ready.read_text())["master_key"]}

    assert host.ask("PUT", "/admin/faults", "{}").status == 401
    assert host.ask("PUT", "/admin/faults", "{}", key).status == 200
