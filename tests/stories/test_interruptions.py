"""Hosts that die, cancels and ends from outside, at every yield of a story over hands that act."""

from pathlib import Path

import pytest
from testkit import builders as a
from testkit.plots import (
    CLOSED_WITHIN_MINUTES,
    PLOTS,
    VISIBLE_AGAIN,
    Plot,
    check,
    check_end,
    check_nothing_is_held,
    check_second_start,
    each_plot,
    interrupted,
)
from testkit.telling import RUN_ID


@each_plot
def test_a_run_that_nobody_interrupts_keeps_every_promise(plot: Plot, tmp_path: Path) -> None:
    world, story = plot.begin(tmp_path)
    while not story.over:
        check(world, story)
        check_second_start(world, story, plot)
        story.step()

    check_end(world, story, plot)


@each_plot
@pytest.mark.parametrize("had_effect", [True, False])
def test_a_host_that_dies_at_any_yield_changes_nothing(
    plot: Plot, tmp_path: Path, *, had_effect: bool
) -> None:
    for world, story in interrupted(plot, tmp_path):
        if had_effect:
            story.act_unheard()
        check(world, story)
        world.clock.now += VISIBLE_AGAIN
        story.resume()
        check_second_start(world, story, plot)
        while not story.over:
            story.step()
            check(world, story)

        check_end(world, story, plot)
        assert world.accounts.openings <= 1


@each_plot
def test_a_host_that_dies_at_every_yield_changes_nothing(plot: Plot, tmp_path: Path) -> None:
    world, story = plot.begin(tmp_path)
    while not story.over:
        story.act_unheard()
        story.resume()
        story.step()
        check(world, story)

    check_end(world, story, plot)


@each_plot
@pytest.mark.parametrize("forgotten", [False, True], ids=["terminated", "purged"])
@pytest.mark.parametrize("in_flight", ["lost", "done", "late"])
def test_what_is_ended_from_outside_at_any_yield_is_put_away_by_the_janitor(
    plot: Plot, in_flight: str, tmp_path: Path, *, forgotten: bool
) -> None:
    for world, story in interrupted(plot, tmp_path):
        if in_flight == "done":
            story.act_unheard()
        story.terminate()
        if forgotten:
            del world.hub.stories[RUN_ID]
        if in_flight == "late":
            world.send_janitor(rounds=1)
            story.act_unheard()
        world.send_janitor(rounds=CLOSED_WITHIN_MINUTES)

        check_nothing_is_held(world, plot)
        if "release_claims" not in story.called:  # else all but its report was done
            assert not world.clusters.daemon_sets, f"left after {story.called[-1]}"


@pytest.mark.parametrize(
    "plot", ["success", "two databases", "verify", "release", "failed node", "failed node, the others kept"]
)
def test_a_cancel_at_any_yield_is_heeded_before_anything_more_is_rolled_out(
    plot: str, tmp_path: Path
) -> None:
    for world, story in interrupted(PLOTS[plot], tmp_path):
        for database in PLOTS[plot].databases:
            world.claims.cancel(a.CLUSTER, database, RUN_ID, "oid")
        in_time, opened = "apply_daemonset" not in story.called, world.accounts.openings
        while not story.over:
            story.step()
            check(world, story)
            assert not (in_time and world.clusters.daemon_sets)

        was_cancelled = story.output["status"] == "cancelled"
        assert was_cancelled or not in_time
        assert world.accounts.openings == opened
        check_end(world, story, PLOTS[plot].cancelled_later(world) if was_cancelled else PLOTS[plot])
