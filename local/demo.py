"""The main job, from an empty cluster to proof: warm a real database, search it, break it, mend it.

Every claim is checked against something that the app does not write: the blob server's log, the files on
the nodes, BLAST's answers, ARM's log and state. The demo succeeds only if every check does.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from local import databases, evidence, stack, wiring
from local.bars import NodeBars, StepBars, console, size, timed
from local.dashboard import Dashboard
from local.evidence import BlobLog
from local.places import Places
from local.stack import Stack
from local.staging import stage

DATABASE = "rrna16s"
TRUNCATED = "rrna16s.02.nsq"
# One quick look of the run, the time the pods take to come back, and one look more to see it.
WATCH_INTERVAL_LOOKS = 6
_POLL_SECONDS = 0.4

Json = dict[str, Any]


@dataclass(slots=True)
class Verdict:
    """The checks so far."""

    failed: list[str] = field(default_factory=list)

    def check(self, claim: str, *, holds: bool) -> None:
        """Print a claim with its mark; one that does not hold fails the demo."""
        console.print(f"  {'✔' if holds else '✘'} {claim}", style=None if holds else "bold red")
        if not holds:
            self.failed.append(claim)


@dataclass(slots=True, kw_only=True)
class Scene:
    """What every part of the demo works with."""

    stack: Stack
    dashboard: Dashboard
    blobs: BlobLog
    source: Path
    verdict: Verdict

    @property
    def account_is_closed(self) -> bool:
        """What ARM's own record says."""
        return evidence.is_closed(self.stack.wiring.places.arm_state, wiring.DATA_ACCOUNT)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The cluster's nodes."""
        return self.stack.wiring.node_names

    def folder(self, node: str) -> Path:
        """Where a node's searches look."""
        return self.stack.wiring.places.blast_folder(node)


def demo(places: Places) -> bool:
    """Run the whole of it; True only if everything was proven."""
    began = time.monotonic()
    planned = stack.planned(places)  # what cannot start is said before anything slow
    if not planned.sees_nodes:
        raise DemoError(
            "the demo compares what lies on the nodes: say where their node folders are on this machine, as "
            "STACK_NODE_FOLDERS=/path/{node}/workspace"
        )
    console.rule("A real database")
    folders = databases.prepare(places.data, StepBars())
    with timed("starting Azurite, ARM, Kubernetes with its nodes, and the Functions host"):
        up = stack.up(places, fresh=True)
    verdict = Verdict()
    try:
        _play(up, folders, verdict)
    finally:
        stack.down(places)
    left = up.is_down and stack.all_free(up.wiring.ports)
    verdict.check("the stack has ended: no process and no port of it is left", holds=left)
    return _tell(verdict, time.monotonic() - began)


def _play(up: Stack, folders: list[Path], verdict: Verdict) -> None:
    for folder in folders:
        stage(up.wiring.staging_server, folder, folder.name, StepBars())
    scene = Scene(
        stack=up,
        dashboard=Dashboard(wiring=up.wiring),
        blobs=BlobLog(up.wiring.places.blob_requests),
        source=next(folder for folder in folders if folder.name == DATABASE),
        verdict=verdict,
    )
    _cold(scene)
    _first_warmup(scene)
    _searches(scene)
    _second_warmup(scene)
    _repair(scene)


def _cold(scene: Scene) -> None:
    console.rule("Before")
    warmth = scene.dashboard.warmth()
    console.print(f"  warmup-status: databases: {warmth['databases']}")
    scene.verdict.check("warmup-status knows no database", holds=warmth["databases"] == [])
    empty = not any(list(scene.folder(node).glob("*")) for node in scene.nodes)
    scene.verdict.check("the nodes' folders are empty", holds=empty)
    scene.verdict.check("ARM says that the storage account is closed", holds=scene.account_is_closed)


def _first_warmup(scene: Scene) -> None:
    console.rule(f"Start warmup: {DATABASE}")
    ended = _warm(scene)
    fetched = scene.blobs.since()
    files = evidence.database_files(scene.source)
    _print_nodes(ended["output"], fetched)
    for node in scene.nodes:
        differing = evidence.differing_files(scene.source, scene.folder(node), files)
        claim = f"{node}: all {len(files)} files of the source are there, byte for byte, and NCBI's metadata"
        scene.verdict.check(claim, holds=not differing)
    _check_warmth(scene)
    changes = evidence.arm_changes(scene.stack.wiring.places.arm_requests)
    opened = (changes.networks, changes.roles) == (2, 1) and scene.account_is_closed
    scene.verdict.check("ARM opened the account once, granted one role, closed it again", holds=opened)
    names = {name for sent in fetched.values() for name in sent.files}
    scene.verdict.check("nothing of the databases beside it was fetched", holds=names <= files | _metadata())


def _searches(scene: Scene) -> None:
    console.rule("The same search on each node and on the source")
    queries = evidence.make_queries(scene.source, DATABASE)
    expected = evidence.search(scene.source, DATABASE, queries)
    best = max(expected, key=lambda hit: float(hit.split("\t")[-1]), default="none")
    console.print(f"  source: {len(expected)} hits, the best: {' '.join(best.split())}")
    for node in scene.nodes:
        hits = evidence.search(scene.folder(node), DATABASE, queries)
        scene.verdict.check(
            f"{node}: {len(hits)} hits, equal to the source's", holds=bool(hits) and hits == expected
        )


def _second_warmup(scene: Scene) -> None:
    console.rule("The same again")
    ended = _warm(scene)
    fetched = scene.blobs.since()
    looks = ended["output"]["steps"]["polling"]["attempts"]
    scene.verdict.check("the nodes looked again and fetched nothing", holds=not fetched)
    scene.verdict.check(f"it was over after {looks} looks", holds=looks <= WATCH_INTERVAL_LOOKS)


def _repair(scene: Scene) -> None:
    node = scene.nodes[-1]
    console.rule(f"{TRUNCATED} on {node} is cut in half behind its back")
    volume = scene.folder(node) / TRUNCATED
    whole = volume.stat().st_size
    with volume.open("r+b") as file:
        file.truncate(whole // 2)
    _warm(scene)
    fetched = scene.blobs.since()
    for name, sent in fetched.items():
        console.print(f"  the blob server sent {name}: {size(sent.bytes)}, {', '.join(sorted(sent.files))}")
    exact = list(fetched) == [node] and fetched[node].files == {TRUNCATED} and fetched[node].bytes == whole
    scene.verdict.check(f"exactly {TRUNCATED} was fetched, exactly by {node}: {size(whole)}", holds=exact)
    whole_again = evidence.digest(volume) == evidence.digest(scene.source / TRUNCATED)
    scene.verdict.check(f"{node} holds every byte again", holds=whole_again)
    _check_warmth(scene)


def _warm(scene: Scene) -> Json:
    """Press the button and watch; the last status."""
    began, status = time.monotonic(), {}
    with NodeBars() as bars:
        for status in scene.dashboard.follow(scene.dashboard.start(DATABASE)):
            shown = status.get("custom_status") or {}
            bars.show(shown.get("nodes", []), shown.get("phase", "starting"))
            time.sleep(_POLL_SECONDS)
    output = status.get("output") or {}
    outcome = output.get("status", status.get("runtime_status"))
    claim = f"the run ended '{outcome}' after {time.monotonic() - began:.1f} s"
    scene.verdict.check(
        claim + (f": {output['error']}" if "error" in output else ""), holds=outcome == "succeeded"
    )
    if outcome != "succeeded":
        raise DemoError("the demo stops here: what follows needs a warm cluster")
    return status


class DemoError(Exception):
    """The demo cannot go on; what was wrong has been printed."""


def _check_warmth(scene: Scene) -> None:
    found = [entry for entry in scene.dashboard.warmth()["databases"] if entry["name"] == DATABASE]
    shown = f"{found[0]['status']} {found[0]['nodes_ready']}/{found[0]['total_jobs']}" if found else "nothing"
    total = len(scene.nodes)
    scene.verdict.check(f"warmup-status says {DATABASE}: {shown}", holds=shown == f"Ready {total}/{total}")


def _print_nodes(output: Json, fetched: dict[str, evidence.Fetched]) -> None:
    table = Table(
        "node", "files", "bytes", "seconds", "MB/s", "sent by the blob server", box=None, pad_edge=True
    )
    for node in output.get("nodes", []):
        seconds = node["seconds"] or 1
        sent = fetched.get(node["node"])
        table.add_row(
            node["node"],
            str(node["files_fetched"]),
            f"{node['bytes_fetched']:,}",
            f"{seconds:.1f}",
            f"{node['bytes_fetched'] / seconds / 1e6:.0f}",
            f"{sent.bytes:,}" if sent else "0",
        )
    console.print(table)


def _metadata() -> frozenset[str]:
    return frozenset({f"{DATABASE}-nucl-metadata.json"})


def _tell(verdict: Verdict, seconds: float) -> bool:
    console.rule()
    if verdict.failed:
        console.print(
            f"  Not proven: {len(verdict.failed)} of the claims above do not hold.", style="bold red"
        )
        return False
    console.print(f"  Proven, in {seconds:.0f} s.", style="bold green")
    return True
