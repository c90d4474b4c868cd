"""What dead runs leave behind: pods, claims, and accounts; and what of it must stay."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit import builders as a
from testkit.plots import (
    CLOSED_WITHIN_MINUTES,
    MINUTE,
    PLOTS,
    TWO_DATABASES,
    Plot,
    check_nothing_is_held,
    interrupted,
)
from testkit.telling import RUN_ID, Story
from testkit.world import FOUND, HubClient, World

from shared.domain.claims import Claimed, Conflict, Holder
from shared.domain.model import Mode
from shared.domain.runs import Holdings
from shared.wire import encode


class OvertakenHub(HubClient):
    """It knows of no run, and lets something happen between its answer and whatever comes of that."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def _get_async_request(self, url: str) -> list[Any]:
        if "showInput=true" in url:  # asked for a claim's sake
            await asyncio.to_thread(self._meanwhile)
        return [404, ""]


@pytest.mark.parametrize("second", ["cancelled", "terminated"])
def test_pods_of_a_dead_run_are_put_away_though_a_start_over_it_came_to_nothing(
    second: str, tmp_path: Path
) -> None:
    for world, story in interrupted(PLOTS["success"], tmp_path):
        if "release_claims" in story.called:
            break
        story.terminate()
        assert isinstance(world.claim("run2", a.request()), Claimed)
        over = Story(a.run(), world.perform, world.clock, "run2")
        world.hub.stories["run2"] = over
        if second == "terminated":
            over.terminate()
        else:
            world.claims.cancel(a.CLUSTER, a.DATABASE, "run2", "oid")
            over.tell_on()
            assert over.output["status"] == "cancelled"
        world.send_janitor(rounds=CLOSED_WITHIN_MINUTES)

        check_nothing_is_held(world, PLOTS["success"])
        assert not world.clusters.daemon_sets, f"left after {story.called[-1]}"


def test_warm_pods_stay_though_a_start_over_their_claim_came_to_nothing(tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    left_behind = world.claims.read(a.CLUSTER, a.DATABASE)
    story.tell_on()
    assert left_behind is not None
    world.claims.take(left_behind, over=None)
    assert isinstance(world.claim("run2", a.request()), Claimed)
    world.claims.drop(a.CLUSTER, (a.DATABASE,), Holder("run2"))
    world.send_janitor(rounds=1)

    assert world.claims.all() == ()
    assert [there.run_id for there in world.clusters.daemon_sets.values()] == [RUN_ID]


@pytest.mark.parametrize("by", ["the run", "the janitor"])
def test_a_daemonset_on_its_way_while_its_run_is_put_away_does_not_stay(by: str, tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "grant_roles" not in story.called:
        story.step()
    held = Holdings(cluster=a.CLUSTER, databases=(a.DATABASE,), run_id=RUN_ID)
    if by == "the janitor":
        story.terminate()

    def put_away() -> None:
        if by == "the run":
            world.perform("retire_daemonsets", encode(held))
        else:
            world.send_janitor(rounds=1)

    world.clusters.meanwhile = put_away
    story.act_unheard()
    assert not world.clusters.daemon_sets


@pytest.mark.parametrize("plot", [PLOTS["failed node"], PLOTS["release"]])
def test_pods_that_a_run_could_not_take_away_are_taken_away_by_the_janitor(
    plot: Plot, tmp_path: Path
) -> None:
    world, story = plot.begin(tmp_path)
    world.clusters.silent = True
    story.tell_on()
    world.send_janitor(rounds=1)
    assert world.clusters.daemon_sets

    world.clusters.silent = False
    world.send_janitor(rounds=1)

    assert "retire_daemonsets is left to the janitor" in str(story.output["steps"])
    assert not world.clusters.daemon_sets
    check_nothing_is_held(world, plot)


@pytest.mark.parametrize("rounds", [0, CLOSED_WITHIN_MINUTES], ids=["at once", "after the janitor"])
def test_pods_of_a_purged_run_are_put_away_though_it_was_asked_for_again_and_refused(
    rounds: int, tmp_path: Path
) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    del world.hub.stories[RUN_ID]
    world.clusters.silent, world.clusters.power_state = True, "Stopped"
    world.clock.now += MINUTE
    world.send_janitor(rounds=rounds)
    again = world.begin()
    again.tell_on()
    assert again.output["status"] == "failed"

    world.clusters.silent = False
    world.send_janitor(rounds=2)
    check_nothing_is_held(world, PLOTS["success"])
    assert not world.clusters.daemon_sets


def test_pods_of_a_purged_run_are_put_away_though_another_has_one_of_its_databases(tmp_path: Path) -> None:
    world, story = PLOTS["two databases"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    del world.hub.stories[RUN_ID]
    world.clock.now += MINUTE
    nt = TWO_DATABASES[1]
    assert isinstance(world.claim("run2", a.request(databases=(nt,))), Claimed)
    world.hub.stories["run2"] = Story(a.run(databases=(nt,)), world.perform, world.clock, "run2")
    assert isinstance(world.claim(RUN_ID, a.request(databases=TWO_DATABASES)), Conflict)

    world.send_janitor(rounds=1)
    assert list(world.clusters.daemon_sets) == ["nt"]  # run2 is about to write its own over it
    assert [claim.run_id for claim in world.claims.all()] == ["run2"]


def test_a_run_that_is_asked_for_again_while_the_janitor_judges_it_is_left_alone(tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    del world.hub.stories[RUN_ID]
    asked_again: list[Story] = []
    world.send_janitor(rounds=1, hub=OvertakenHub(lambda: asked_again.append(world.begin())))

    (again,) = asked_again
    again.tell_on()
    assert again.output["status"] == "succeeded"


def test_pods_that_a_run_left_verifying_are_made_to_warm_by_the_janitor(tmp_path: Path) -> None:
    world, story = PLOTS["verify"].begin(tmp_path)
    world.clusters.silent = True
    story.tell_on()
    world.send_janitor(rounds=1)
    (left,) = world.clusters.daemon_sets.values()
    assert left.mode is Mode.VERIFY

    world.clusters.silent = False
    world.send_janitor(rounds=1)

    assert story.output["status"] == "succeeded"
    check_nothing_is_held(world, PLOTS["verify"])
    (left,) = world.clusters.daemon_sets.values()
    assert left.mode is Mode.WARM


def test_an_account_is_closed_before_a_cluster_that_does_not_answer_is_asked_for_its_pods(
    tmp_path: Path,
) -> None:
    world, story = PLOTS["failed node"].begin(tmp_path)
    world.clusters.silent = True
    while "retire_daemonsets" not in story.called:
        story.step()

    assert (world.network, world.ledger.owners) == (FOUND, ())


@pytest.mark.parametrize("plot", ["success", "failed node, the others kept"])
def test_warm_pods_stay_when_only_their_claim_was_left_behind(plot: str, tmp_path: Path) -> None:
    world, story = PLOTS[plot].begin(tmp_path)
    claim = world.claims.read(a.CLUSTER, a.DATABASE)
    story.tell_on()
    assert claim is not None
    world.claims.take(claim, over=None)
    world.send_janitor(rounds=1)

    assert world.claims.all() == ()
    assert world.clusters.daemon_sets


def test_a_start_that_the_hub_has_not_heard_of_yet_keeps_its_claim(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.clock.now += timedelta(seconds=1)  # just after the last round
    world.claim("run9", a.request())
    world.clock.now -= timedelta(seconds=1)
    world.send_janitor(rounds=1)
    assert [claim.run_id for claim in world.claims.all()] == ["run9"]

    world.send_janitor(rounds=1)
    assert world.claims.all() == ()


def test_a_run_whose_database_another_one_took_ends_itself(tmp_path: Path) -> None:
    world, story = PLOTS["two databases"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    nt = TWO_DATABASES[1]
    world.claims.drop(a.CLUSTER, (nt,), Holder(RUN_ID))
    assert isinstance(world.claim("run2", a.request(databases=(nt,))), Claimed)

    story.tell_on()
    assert story.output["error"].startswith("run run1 no longer holds database 'nt'")
    assert (world.network, world.clusters.daemon_sets) == (FOUND, {})
    assert [claim.run_id for claim in world.claims.all()] == ["run2"]
