"""Task hubs of several slots over the same documents."""

from pathlib import Path

from testkit import builders as a
from testkit.plots import CLOSED_WITHIN_MINUTES, PLOTS, TWO_DATABASES
from testkit.telling import Story
from testkit.world import FOUND, HubClient

from shared.domain.claims import Claimed, Conflict
from shared.domain.hubs import FOREIGN_PATIENCE


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
