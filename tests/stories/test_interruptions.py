"""Hosts that die and runs that are ended from outside, at every yield of a story over hands that act."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from testkit import builders as a
from testkit.telling import RUN_ID, Story
from testkit.world import FOUND, NODES, OPENED, HubClient, World

from entrypoints.silence import HEARD_OUT, SILENT_AFTER
from shared.domain.claims import Claimed, Conflict, HeldBy, Holder
from shared.domain.hubs import FOREIGN_PATIENCE
from shared.domain.leases import Ledger
from shared.domain.model import Database, Mode, OnFailure
from shared.domain.phases import stamp
from shared.domain.runs import Holdings
from shared.ports import PassingError
from shared.wire import encode

# What a dead host had in flight becomes visible to another one after this long, at the backend's default.
VISIBLE_AGAIN = timedelta(minutes=5)
CLOSED_WITHIN_MINUTES = 3  # an owner is young for two; five are promised
MINUTE = timedelta(minutes=1)  # between two rounds of the janitor
CANCELLED_AFTER = timedelta(seconds=8)  # while the nodes are at work
PUTS_PODS_AWAY = ("stop_verifying", "keep_warm_nodes", "retire_daemonsets")
TWO_DATABASES = (a.DATABASE, Database(name="nt", folder="nt"))


@dataclass(frozen=True)
class Plot:
    """What is asked for, what the world does about it, and how it must end."""

    ends: str = "succeeded"
    leaves: Mode | None = Mode.WARM  # what its DaemonSets do in the end; None: there are none
    leaves_on: tuple[str, ...] = NODES  # where those have pods
    asked: dict[str, Any] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    cancelled: bool = False

    def begin(self, folder: Path) -> tuple[World, Story]:
        world = World(folder, self.broken)
        story = world.begin(**self.asked)
        if self.cancelled:
            world.later(CANCELLED_AFTER, lambda: world.claims.cancel(a.CLUSTER, a.DATABASE, RUN_ID, "oid"))
        return world, story

    def cancelled_later(self, world: World) -> "Plot":
        """How it ends when somebody cancels it; what is warm by then may be kept."""
        kept = {(there.mode, there.nodes) for there in world.clusters.daemon_sets.values()}
        keeps = self.asked.get("on_failure") is OnFailure.KEEP and bool(kept)
        return replace(self, ends="cancelled", leaves=self.leaves if keeps else None)

    @property
    def databases(self) -> tuple[Database, ...]:
        return a.request(**self.asked).databases


PLOTS = {
    "success": Plot(),
    "failed node": Plot(ends="failed", leaves=None, broken=frozenset({"node2"})),
    "failed node, the others kept": Plot(
        ends="failed",
        leaves_on=("node0", "node1"),
        asked={"on_failure": OnFailure.KEEP},
        broken=frozenset({"node2"}),
    ),
    "partly warm": Plot(
        leaves_on=("node0", "node1"), asked={"allow_partial": True}, broken=frozenset({"node2"})
    ),
    "cancelled": Plot(ends="cancelled", leaves=None, cancelled=True),
    "two databases": Plot(asked={"databases": TWO_DATABASES}),
    "verify": Plot(asked={"mode": Mode.VERIFY}),
    "release": Plot(leaves=None, asked={"mode": Mode.RELEASE, "account_name": ""}),
    "refused": Plot(
        ends="failed", leaves=None, asked={"databases": (Database(name="absent", folder="absent"),)}
    ),
    "dry run of what is closed": Plot(ends="planned", leaves=None, asked={"dry_run": True}),
}


class OvertakenHub(HubClient):
    """It knows of no run, and lets something happen between its answer and whatever comes of that."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def _get_async_request(self, url: str) -> list[Any]:
        if "showInput=true" in url:  # asked for a claim's sake
            await asyncio.to_thread(self._meanwhile)
        return [404, ""]


each_plot = pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)


def check(world: World, story: Story) -> None:
    """What must hold whenever the story waits."""
    owners = [owner.run_id for owner in world.ledger.owners]
    if world.network != FOUND:
        assert owners == [RUN_ID], "open, and no owner is named"
        assert not story.over, "open after the end"
        assert world.ledger.before == FOUND, "open, and the way back is not known"
    counted = [status for status in story.statuses if "bytes_done" in status]
    for status in counted:
        ready, failed, active = (status[f"nodes_{kind}"] for kind in ("ready", "failed", "active"))
        assert ready + failed + active == status["total_jobs"]
    assert all(one["bytes_done"] <= other["bytes_done"] for one, other in pairwise(counted))


def check_end(world: World, story: Story, plot: Plot) -> None:
    """What must hold when the story is over."""
    check(world, story)
    assert story.output["status"] == plot.ends
    check_nothing_is_held(world, plot)
    left = {(there.mode, there.nodes) for there in world.clusters.daemon_sets.values()}
    assert left == ({(plot.leaves, plot.leaves_on)} if plot.leaves else set())


def check_nothing_is_held(world: World, plot: Plot) -> None:
    assert (world.network, replace(world.ledger, departed=())) == (FOUND, Ledger())
    assert isinstance(world.claim("run2", a.request(**plot.asked)), Claimed)


def check_second_start(world: World, story: Story, plot: Plot) -> None:
    """A start of the same thing while the run holds it is that run, unless it is about to end."""
    if story.over or "release_claims" in story.called or plot.asked.get("dry_run"):
        return
    verdict = world.claim("run2", a.request(**plot.asked))
    about_to_end = plot.cancelled or not set(PUTS_PODS_AWAY).isdisjoint(story.called)
    assert verdict == HeldBy(run_id=RUN_ID) or (about_to_end and isinstance(verdict, Conflict))


def yields_of(plot: Plot, folder: Path) -> int:
    """How often its story waits, when nobody interrupts it."""
    _, story = plot.begin(folder)
    count = 0
    while not story.over:
        story.step()
        count += 1
    return count


def interrupted(plot: Plot, folder: Path) -> Iterator[tuple[World, Story]]:
    """A fresh world for each yield, its story told as far as that."""
    for told in range(yields_of(plot, folder)):
        world, story = plot.begin(folder)
        for _ in range(told):
            story.step()
        yield world, story


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


def test_a_slot_with_a_hub_of_its_own_leaves_a_live_run_alone(tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    slot = HubClient("SlotHub")
    world.send_janitor(rounds=10, hub=slot)
    refused = world.claim("run2", a.request(), hub=slot)
    assert isinstance(refused, Conflict)
    assert "run run1 of task hub hub holds these databases" in refused.message

    story.tell_on()
    assert story.output["status"] == "succeeded"
    assert world.network == FOUND


def test_two_hubs_share_an_account_and_the_last_one_out_closes_it(tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    slot, nt = HubClient("SlotHub"), TWO_DATABASES[1]
    assert isinstance(world.claim("run2", a.request(databases=(nt,)), hub=slot), Claimed)
    other = Story(a.run(databases=(nt,)), world.perform, world.clock, "run2")
    slot.stories["run2"] = other
    while "observe_nodes" not in other.called:
        other.step()

    story.tell_on()
    assert [(owner.run_id, owner.hub) for owner in world.ledger.owners] == [("run2", "SlotHub")]
    assert world.network != FOUND
    other.terminate()
    world.send_janitor(rounds=CLOSED_WITHIN_MINUTES)
    assert world.network != FOUND
    world.send_janitor(rounds=CLOSED_WITHIN_MINUTES, hub=slot)
    assert (world.network, list(world.clusters.daemon_sets)) == (FOUND, ["core_nt"])


def test_what_a_hub_that_is_no_more_left_behind_is_put_away_in_days(tmp_path: Path) -> None:
    world, story = PLOTS["success"].begin(tmp_path)
    while "observe_nodes" not in story.called:
        story.step()
    world.clock.now += FOREIGN_PATIENCE
    world.send_janitor(rounds=1, hub=HubClient("NewHub"))

    assert (world.network, world.claims.all(), world.clusters.daemon_sets) == (FOUND, (), {})
