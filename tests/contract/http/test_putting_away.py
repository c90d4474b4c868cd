"""The janitor: what a run that ended violently leaves behind is put away."""

from testkit.doors import Doors, smallest

A_WHILE = 600  # seconds; beyond what counts as young


def go_round(doors: Doors) -> None:
    """Let the timer fire now; the host answers when the round is done."""
    assert doors.host.ask("POST", "/admin/functions/put_away").status == 202


def restored(doors: Doors, account: str) -> int:
    return len([act for act in doors.acts("restored") if act["account"] == account])


def test_a_terminated_run_leaves_a_closed_account_and_no_daemonset(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    run_id = doors.start(smallest(cluster) | {"storage_account": "terminated1"}).json["instance_id"]
    doors.until_phase(run_id, "warming_up")
    doors.host.ask("POST", f"/instances/{run_id}/terminate?reason=enough")
    doors.until_over(run_id)

    doors.world(seconds_ahead=A_WHILE)
    go_round(doors)

    assert restored(doors, "terminated1") == 1
    assert run_id in {act["run_id"] for act in doors.acts("removed")}
    go_round(doors)
    assert restored(doors, "terminated1") == 1


def test_a_purged_run_leaves_a_closed_account(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    run_id = doors.start(smallest(cluster) | {"storage_account": "purged1"}).json["instance_id"]
    doors.until_phase(run_id, "warming_up")
    doors.host.ask("POST", f"/instances/{run_id}/terminate?reason=enough")
    doors.until_over(run_id)
    doors.host.ask("DELETE", f"/instances/{run_id}")

    doors.world(seconds_ahead=A_WHILE)
    go_round(doors)

    assert restored(doors, "purged1") == 1


def test_a_live_runs_account_stays_open(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    run_id = doors.start(smallest(cluster) | {"storage_account": "living1"}).json["instance_id"]
    doors.until_phase(run_id, "warming_up")

    doors.world(nodes={"node0": "copying"}, seconds_ahead=A_WHILE)
    go_round(doors)

    assert restored(doors, "living1") == 0
    doors.world()
    doors.until_over(run_id)
    assert restored(doors, "living1") == 1


def test_a_run_that_is_too_young_to_tell_is_left_alone(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    run_id = doors.start(smallest(cluster) | {"storage_account": "young1"}).json["instance_id"]
    doors.until_phase(run_id, "warming_up")
    doors.host.ask("POST", f"/instances/{run_id}/terminate?reason=enough")
    doors.until_over(run_id)

    go_round(doors)

    assert restored(doors, "young1") == 0
