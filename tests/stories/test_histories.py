"""Runs in flight survive a change of the story: recorded histories are replayed on the real SDK.

Every prefix of every history under `tests/golden/histories/<defaultVersion>/` must lead to what the
history shows next, as the extension insists. A test that fails here says: this change breaks runs in
flight; take it back, or raise `defaultVersion` in `host.json` and record anew with `UPDATE_GOLDEN=1`.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit import builders as a
from testkit.histories import Episode, Recorder, RegisteredStory, default_version, episodes, save
from testkit.telling import RUN_ID
from testkit.world import World

from local.host.protocol.replay import NonDeterministicError
from shared.domain.model import Database, Mode
from shared.domain.runs import Run
from shared.wire import decode

GOLDEN = Path(__file__).parents[1] / "golden" / "histories"
LONG = timedelta(minutes=16)  # more looks than one generation holds
CANCELLED_AFTER = timedelta(seconds=8)  # while the nodes are at work


@dataclass(frozen=True)
class Plot:
    """A run worth recording."""

    proves: str
    asked: dict[str, Any] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    happens: Callable[[World], None] = lambda _world: None


def is_slow(world: World) -> None:
    world.clusters.warm_after = LONG


def is_cancelled(world: World) -> None:
    world.later(CANCELLED_AFTER, lambda: world.claims.cancel(a.CLUSTER, a.DATABASE, RUN_ID, "oid"))


def forgets_its_first_look(world: World) -> None:
    world.fail_once("observe_nodes")


def fails_where_several_are_at_work(world: World) -> None:
    world.fail_once("describe_database")
    world.fail_once("apply_daemonset")


PLOTS = {
    "succeeded": Plot(
        proves="a run over two databases in flight reaches its end, both described and rolled out at once",
        asked={"databases": (a.DATABASE, Database(name="nt", folder="nt"))},
    ),
    "failed": Plot(
        proves="a run in flight waits out a passing failure, and a node that fails takes the DaemonSet away",
        broken=frozenset({"node2"}),
        happens=forgets_its_first_look,
    ),
    "released": Plot(
        proves="a release in flight goes on without an account",
        asked={"mode": Mode.RELEASE, "account_name": ""},
    ),
    "cancelled": Plot(proves="a run in flight that is cancelled winds itself up", happens=is_cancelled),
    "repeated": Plot(
        proves="a fan-out that fails while another of its activities is in flight is begun again",
        asked={"databases": (a.DATABASE, Database(name="nt", folder="nt"))},
        happens=fails_where_several_are_at_work,
    ),
    "continued": Plot(
        proves="a generation in flight continues as new, and the next goes on", happens=is_slow
    ),
}


@pytest.fixture(autouse=True)
def _strict_typing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the app's settings have it."""
    monkeypatch.setenv("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1")


def record(plot: Plot, folder: Path) -> list[list[dict[str, Any]]]:
    world = World(folder, plot.broken)
    run = a.run(**plot.asked)
    world.claim(RUN_ID, run.request)
    plot.happens(world)
    return Recorder(world, run).record()


@pytest.mark.parametrize("name", PLOTS)
def test_a_run_in_flight_goes_on_as_its_history_began(name: str, tmp_path: Path) -> None:
    recorded = GOLDEN / default_version() / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        save(recorded, PLOTS[name].proves, record(PLOTS[name], tmp_path))
    story = RegisteredStory(World(tmp_path))
    generations = json.loads(recorded.read_text(encoding="utf-8"))["generations"]
    for number, history in enumerate(generations, 1):
        for episode in episodes(history):
            go_on(story, episode, continues=number < len(generations))


def go_on(story: RegisteredStory, episode: Episode, *, continues: bool) -> None:
    decision = story.decide(episode.given)

    shown = [(event["EventId"], event.get("Name")) for event in episode.scheduled]
    assert [(leaf.sequence, leaf.call and leaf.call.name) for leaf in decision.schedule] == shown
    assert decision.over == episode.is_last
    assert decision.continues == (episode.is_last and continues)
    if decision.continues_with is not None:
        decode(Run, json.loads(decision.continues_with))


def test_what_would_break_a_run_in_flight_is_seen(tmp_path: Path) -> None:
    story = RegisteredStory(World(tmp_path))
    [history] = json.loads((GOLDEN / default_version() / "cancelled.json").read_text())["generations"]
    text = json.dumps(history).replace('"grant_roles"', '"probe_access"')

    with pytest.raises(NonDeterministicError, match="grant_roles"):
        story.decide(json.loads(text))


def test_the_version_that_new_runs_begin_with_has_all_its_histories() -> None:
    recorded = {path.stem for path in (GOLDEN / default_version()).glob("*.json")}

    assert recorded == set(PLOTS)
