"""Plots of whole runs: what is asked for, what befalls them, what must hold meanwhile and at the end."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from testkit import builders as a
from testkit.telling import RUN_ID, Story
from testkit.world import FOUND, NODES, World

from shared.domain.claims import Claimed, Conflict, HeldBy
from shared.domain.leases import Ledger
from shared.domain.model import Database, Mode, OnFailure

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
