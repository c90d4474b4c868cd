"""A host that is killed, or told to stop, and started again on the same state file."""

import json
import sqlite3
from pathlib import Path

import pytest
from testkit.hosting import APP, Starter


def naps(trace: Path) -> int:
    return trace.read_text().count("nap") if trace.exists() else 0


def test_a_killed_host_resumes_every_run(start_host: Starter, tmp_path: Path) -> None:
    arguments = ("--state", str(tmp_path / "state.db"))
    trace = {"TRACE_FILE": str(tmp_path / "trace")}
    first = start_host(*arguments, env=trace)
    done = first.run("fan_out", 3)
    waiting = first.start("wait_go")
    parent = first.start("waiting_parent")
    polling = first.start("poll", 20)
    napping = first.start("leave_activity_open")
    suspended = first.start("wait_go")
    first.until(suspended, "Running")
    first.ask("POST", f"/instances/{suspended}/suspend?reason=night")
    first.until(suspended, "Suspended")
    first.until_true(lambda: naps(tmp_path / "trace"), lambda count: count == 1)
    first.kill()

    second = start_host(*arguments, env=trace)
    assert second.status(done["instanceId"])["output"] == done["output"]
    assert second.status(suspended)["runtimeStatus"] == "Suspended"
    assert second.until(polling)["output"] == 20
    assert second.until(napping)["output"] == "done early"
    assert naps(tmp_path / "trace") == 2, "an activity in flight runs again"
    second.raise_event(waiting, "go", 1)
    assert second.until(waiting)["runtimeStatus"] == "Completed"
    second.until_true(
        lambda: second.ask("GET", f"/instances/{parent}-child").status, lambda status: status == 202
    )
    second.raise_event(f"{parent}-child", "go", 1)
    assert second.until(parent)["output"]["v"] == 36
    second.ask("POST", f"/instances/{suspended}/resume")
    second.raise_event(suspended, "go", 1)
    assert second.until(suspended)["runtimeStatus"] == "Completed"


def test_what_was_answered_202_survives_a_kill_at_once(start_host: Starter, tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    host = start_host("--state", state)
    for round_number in range(2):
        started = host.start("wait_go", instance_id=f"run-{round_number}")
        host.kill()
        host = start_host("--state", state)
        assert host.raise_event(started, "go", 1).status == 202
        host.kill()
        host = start_host("--state", state)
        assert host.until(started)["runtimeStatus"] == "Completed"


def test_a_purged_instance_stays_purged(start_host: Starter, tmp_path: Path) -> None:
    first = start_host("--state", str(tmp_path / "state.db"))
    instance_id = first.run("fan_out", 1)["instanceId"]
    assert first.ask("DELETE", f"/instances/{instance_id}").json == {"instancesDeleted": 1}
    first.kill()
    second = start_host("--state", str(tmp_path / "state.db"))
    assert second.ask("GET", f"/instances/{instance_id}").status == 404


def test_sigterm_keeps_everything_and_exits_with_0(start_host: Starter, tmp_path: Path) -> None:
    first = start_host("--state", str(tmp_path / "state.db"))
    napping = first.start("leave_activity_open")
    done = first.run("fan_out", 2)
    assert first.stop() == 0
    second = start_host("--state", str(tmp_path / "state.db"))
    assert second.status(done["instanceId"])["output"] == done["output"]
    assert second.until(napping)["output"] == "done early"


def test_links_given_out_before_a_restart_still_open(start_host: Starter, tmp_path: Path) -> None:
    arguments = ("--state", str(tmp_path / "state.db"), "--enable-auth")
    ready = tmp_path / "ready.json"
    keys = []
    for _ in range(2):
        host = start_host(*arguments, "--ready-file", str(ready))
        keys.append(_system_key(ready))
        host.kill()
    assert keys[0] == keys[1]


def test_a_corrupt_checkpoint_is_set_aside_and_said(start_host: Starter, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    state.write_bytes(b"not a database" * 100)
    host = start_host("--state", str(state))
    (aside,) = tmp_path.glob("state.db.corrupt-*")
    assert aside.read_bytes().startswith(b"not a database")
    assert f"set aside as {aside}" in host.log.read_text()
    assert host.run("fan_out", 2)["runtimeStatus"] == "Completed"


@pytest.mark.parametrize(
    "damage",
    [
        "view = '{'",
        "view = '[]'",
        "view = '{}'",
        "view = json_set(view, '$.status', 'Odd')",
        "identity = 'null'",
        "history = x'ffff'",
        "pending = x'ff'",
        "failure = x'ffff'",
        """view = replace(view, 'wait_go', 'fan_out')""",
    ],
)
def test_an_instance_whose_row_is_damaged_is_set_aside_and_no_other(
    start_host: Starter, tmp_path: Path, damage: str
) -> None:
    state, ready = tmp_path / "state.db", tmp_path / "ready.json"
    host = start_host("--state", str(state), "--ready-file", str(ready))
    key = _system_key(ready)
    hurt, whole = host.start("wait_go"), host.start("wait_go")
    host.kill()
    with sqlite3.connect(state) as database:
        database.execute(f"update instance set {damage} where id = ?", (hurt,))  # noqa: S608 - a test's own
    database.close()

    host = start_host("--state", str(state), "--ready-file", str(ready))

    assert _system_key(ready) == key, "links given out before still open"
    assert [status["instanceId"] for status in host.ask("GET", "/instances").json] == [whole]
    (aside,) = tmp_path.glob("state.db.corrupt-*")
    assert f"{hurt} could not be read; set aside as {aside}, the others go on" in host.log.read_text()
    with sqlite3.connect(aside) as copy:
        assert {each for (each,) in copy.execute("select id from instance")} == {hurt, whole}
    copy.close()
    host.raise_event(whole, "go", 1)
    assert host.until(whole)["runtimeStatus"] == "Completed"


def _system_key(ready: Path) -> str:
    key: str = json.loads(ready.read_text())["system_key"]
    return key


def test_a_state_file_in_use_is_refused_and_left_alone(start_host: Starter, tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    host = start_host("--state", state)
    log = tmp_path / "second.log"
    second = start_host.spawn("--state", state, app=APP, env=None, log=log)
    second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"{state} is in use by another host: stop it, or name another file" in log.read_text()
    assert host.run("fan_out", 2)["runtimeStatus"] == "Completed"
