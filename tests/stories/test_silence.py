"""A task hub that fails for a while, and runs of which nothing is heard any more."""

from datetime import timedelta
from pathlib import Path

import pytest
from testkit import builders as a
from testkit.plots import CLOSED_WITHIN_MINUTES, MINUTE, PLOTS
from testkit.telling import RUN_ID, Story
from testkit.world import FOUND, OPENED

from entrypoints.silence import HEARD_OUT, SILENT_AFTER
from shared.domain.claims import Claimed
from shared.domain.phases import stamp
from shared.ports import PassingError


def test_a_task_hub_that_fails_for_a_while_ends_no_run(tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while world.network == FOUND:
        story.step()
    world.clock.now += timedelta(minutes=3)
    world.hub.failing = True
    world.send_janitor(rounds=2)
    with pytest.raises(PassingError, match="answered 500"):
        world.claim("run2", a.request())
    world.hub.failing = False

    story.tell_on()
    assert story.output["status"] == "succeeded"


@pytest.mark.parametrize("deaf", [False, True], ids=["ended", "deaf"])
def test_a_run_that_is_never_heard_of_again_is_put_away(tmp_path: Path, *, deaf: bool) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    world.hub.deaf = deaf
    world.send_janitor(rounds=SILENT_AFTER // MINUTE)
    assert (world.network, len(world.claims.all()), world.hub.ended) == (OPENED, 1, [])

    world.send_janitor(rounds=HEARD_OUT // MINUTE + CLOSED_WITHIN_MINUTES)

    assert (world.network, world.claims.all(), world.clusters.daemon_sets) == (FOUND, (), {})
    assert story.terminated is not deaf
    assert set(world.hub.ended) == {f"nothing was heard of it since {stamp(story.heard_at)}"}
    world.hub.deaf = False
    world.send_janitor(rounds=2)
    assert story.terminated
    asked = len(world.hub.ended)
    world.send_janitor(rounds=2)
    assert len(world.hub.ended) == asked
    assert isinstance(world.claim("run2", a.request()), Claimed)


def test_a_lost_run_that_is_found_again_ends_itself(tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    world.hub.deaf = True
    world.send_janitor(rounds=(SILENT_AFTER + HEARD_OUT) // MINUTE + CLOSED_WITHIN_MINUTES)

    story.tell_on()

    assert story.output["error"].startswith("run run1 no longer holds database")
    assert (world.network, world.clusters.daemon_sets) == (FOUND, {})


def test_a_host_that_was_gone_for_hours_finds_its_run_as_it_left_it(tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    world.clock.now += timedelta(hours=1, minutes=30)
    world.send_janitor(rounds=HEARD_OUT // MINUTE)
    story.resume()
    story.tell_on()

    assert story.output["status"] == "succeeded"
    assert (world.network, world.hub.ended) == (FOUND, [])


def test_a_lost_run_that_was_begun_anew_is_not_ended(tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    world.hub.deaf = True
    world.send_janitor(rounds=(SILENT_AFTER + HEARD_OUT) // MINUTE + CLOSED_WITHIN_MINUTES)
    world.hub.deaf = False
    again = Story(a.run(dry_run=True), world.perform, world.clock)  # purged, and asked for again
    world.hub.stories[RUN_ID] = again
    world.send_janitor(rounds=2)

    assert not again.terminated


@pytest.mark.parametrize("asleep", [HEARD_OUT, timedelta(hours=3)], ids=["within a gap", "after it was back"])
def test_a_host_that_falls_silent_again_hears_its_run_out_anew(asleep: timedelta, tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    world.clock.now += SILENT_AFTER
    world.send_janitor(rounds=1)  # it notices the silence, and is gone
    if asleep > SILENT_AFTER:
        story.resume()
        story.step()
    world.clock.now += asleep
    world.send_janitor(rounds=2)
    story.resume()
    story.tell_on()

    assert story.output["status"] == "succeeded"
    assert (world.network, world.hub.ended) == (FOUND, [])
