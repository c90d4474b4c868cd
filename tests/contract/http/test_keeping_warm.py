"""Keep warm: listed databases are warmed without anybody asking, like any other run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testkit.doors import SUBSCRIPTION, Doors, environment, lay_out, smallest
from testkit.hosting import Starter

CLUSTER = "kept"
GRACE, REST = 5 * 60 + 1, 10 * 60 + 1  # seconds


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Doors]:
    """An app that keeps one database warm on one cluster, which shows nothing of it."""
    told = environment(tmp_path, KEEP_WARM=f"{SUBSCRIPTION}/rg-elb/{CLUSTER}=blastdata:core_nt")
    starter = Starter(tmp_path)
    yield Doors(starter("--log-level", "info", app=lay_out(tmp_path), env=told), tmp_path)
    starter.end_all()


def go_round(keeper: Doors, seconds_ahead: int, **world: object) -> list[dict[str, Any]]:
    """Let the timer fire at a time, wait for what it started, and give all runs it ever did."""
    keeper.world(seconds_ahead=seconds_ahead, **world)
    assert keeper.host.ask("POST", "/admin/functions/keep_warm").status == 202
    runs: list[dict[str, Any]] = keeper.host.ask("GET", "/instances?instanceIdPrefix=keepwarm").json
    return runs


def test_what_has_been_lacking_for_a_while_is_warmed_by_a_run_like_any_other(keeper: Doors) -> None:
    keeper.world(nodes={"node0": "copying"})

    assert go_round(keeper, 0, nodes={"node0": "copying"}) == []
    (run,) = go_round(keeper, GRACE, nodes={"node0": "copying"})

    (row,) = keeper.get("warmup/active").json["warmups"]
    assert (row["instance_id"], row["auto"], row["db"]) == (run["instanceId"], True, "core_nt")
    assert keeper.start(smallest(CLUSTER)).json["already_running"] is True
    keeper.world()
    assert keeper.until_over(row["instance_id"])["output"]["status"] == "succeeded"
    log = keeper.host.log.read_text()
    assert '"by":"keep-warm"' in log
    assert "core_nt: no node holds it" in log


def test_a_cluster_that_was_just_warmed_is_left_alone_for_a_while(keeper: Doors) -> None:
    go_round(keeper, 0)
    (run,) = go_round(keeper, GRACE)
    keeper.until_over(run["instanceId"])

    assert len(go_round(keeper, REST - GRACE)) == 1
    assert len(go_round(keeper, GRACE + REST)) == 1
    assert len(go_round(keeper, GRACE + REST + GRACE)) == 2


def test_a_cluster_that_does_not_answer_gets_its_grace_anew_when_it_comes_back(keeper: Doors) -> None:
    go_round(keeper, 0)

    assert go_round(keeper, GRACE, silent=["monitor"]) == []
    assert go_round(keeper, GRACE + 60) == []
    assert len(go_round(keeper, GRACE + 60 + GRACE)) == 1


def test_pods_that_do_not_show_are_no_reason(keeper: Doors) -> None:
    go_round(keeper, 0)

    assert go_round(keeper, GRACE, sight={"faults": ["pods did not answer within 8 s"]}) == []
