"""The agent is killed before each step of a publication, and of a release: BLAST never meets half of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.sample_database import contents, put_database
from testkit.warm_node import WarmNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testkit.blob_server import BlobServer

HOOK = Path(__file__).parents[1] / "testkit" / "moments"
KILLED = -9
MOST_MOMENTS = 60
PUBLISHED = r"/blast/[^/.][^/]*$|/marker\.json$"
ANYTHING = ""
WAYS_IN = {"nt.nal", "nt.nin"}
SEVERAL, ONE = "several volumes", "one volume"


def stage(server: BlobServer, shape: str, seed: int = 1) -> dict[str, bytes]:
    """Let the container hold `nt` in this shape and nothing else of it; what a node should have then."""
    for name in [name for name in server.blobs if name.startswith("nt/")]:
        del server.blobs[name]
    if shape == SEVERAL:
        put_database(server, "nt", volumes=3, volume_bytes=3000, seed=seed)
        del server.blobs["nt/taxdb.btd"]
    else:
        for kind in ("nsq", "nin", "nhr"):
            server.put(f"nt/nt.{kind}", f"{kind} of one volume, {seed}".encode())
    return contents(server, "nt")


def moments(tmp_path: Path, server: BlobServer, names: str) -> Iterator[tuple[WarmNode, dict[str, str]]]:
    """A fresh node for each moment, and what kills a program on it then."""
    for moment in range(MOST_MOMENTS):
        folder = tmp_path / str(moment)
        folder.mkdir()
        yield (
            WarmNode(folder=folder, server=server),
            {"PYTHONPATH": str(HOOK), "MOMENT": str(moment), "MOMENT_NAMES": names},
        )
    pytest.fail("there was always one moment more")


def has_whole(node: WarmNode, generation: dict[str, bytes]) -> bool:
    return generation.items() <= node.files().items()


@pytest.mark.parametrize(("old", "new"), [(SEVERAL, ONE), (ONE, SEVERAL), (SEVERAL, SEVERAL)])
def test_a_kill_while_a_generation_replaces_another_leaves_one_of_them_or_none(
    server: BlobServer, tmp_path: Path, old: str, new: str
) -> None:
    for node, killed in moments(tmp_path, server, PUBLISHED):
        before = stage(server, old)
        assert node.look(server.manifest("nt")).exit_code == 0
        after = stage(server, new, seed=2)

        outcome = node.look(server.manifest("nt"), **killed)

        seen = f"{killed['MOMENT']}: {sorted(node.files())}"
        assert not WAYS_IN & set(node.files()) or has_whole(node, before) or has_whole(node, after), seen
        if outcome.exit_code == 0:
            assert int(killed["MOMENT"]) > len(after)  # it was killed at each of them
            return
        assert outcome.exit_code == KILLED
        assert node.look(server.manifest("nt")).exit_code == 0
        assert node.files() == after, seen


@pytest.mark.parametrize("then", ["restaged", "released"])
def test_nothing_is_left_for_ever_by_a_first_publication_that_was_killed(
    server: BlobServer, tmp_path: Path, then: str
) -> None:
    for node, killed in moments(tmp_path, server, PUBLISHED):
        stage(server, SEVERAL)
        if node.look(server.manifest("nt"), **killed).exit_code == 0:
            return
        after = stage(server, ONE)
        if then == "restaged":
            assert node.look(server.manifest("nt")).exit_code == 0
            assert node.files() == after, killed["MOMENT"]

        assert node.look(server.manifest("nt"), "--release").exit_code == 0
        assert node.files() == {}, killed["MOMENT"]


def test_a_release_holds_the_lock_to_its_last_step(server: BlobServer, tmp_path: Path) -> None:
    for node, killed in moments(tmp_path, server, ANYTHING):
        stage(server, ONE)
        assert node.look(server.manifest("nt")).exit_code == 0

        outcome = node.look(server.manifest("nt"), "--release", **killed)

        private = node.private("nt")
        left = {entry.name for entry in private.iterdir()} if private.exists() else set()
        assert not left or "lock" in left, f"{killed['MOMENT']}: {left}"
        if outcome.exit_code == 0:
            return
        assert node.look(server.manifest("nt"), "--release").exit_code == 0
        assert (node.files(), private.exists()) == ({}, False)
