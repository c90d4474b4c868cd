"""Releasing takes what the node remembers of a database, and nothing else; no manifest has to know it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from testkit.sample_database import contents, put_database
from testkit.warm_node import kill, wait_until

if TYPE_CHECKING:
    from testkit.blob_server import BlobServer
    from testkit.warm_node import WarmNode

TAXA = {"taxdb.btd": b"taxa of 2026"}


def empty_manifest(database: str) -> dict[str, Any]:
    """What is left to say of a database that is no longer staged."""
    return {
        "schema": 1,
        "database": database,
        "container": "blast-db",
        "generation": "",
        "molecule": "",
        "bytes": 0,
        "files": [],
    }


def test_a_database_that_is_no_longer_staged_is_released_by_its_name(
    node: WarmNode, server: BlobServer
) -> None:
    put_database(server, "nt", volumes=1)
    for database in ("core_nt", "nt"):
        node.look(server.manifest(database))
    server.forget()

    outcome = node.look(empty_manifest("core_nt"), "--release")

    assert (outcome.exit_code, outcome.last["phase"]) == (0, "ready")
    assert node.files() == contents(server, "nt")
    assert not node.private("core_nt").exists()
    assert server.requests == []


def test_by_hand_the_name_is_enough(node: WarmNode, server: BlobServer) -> None:
    node.look(server.manifest("core_nt"))

    outcome = node.look(empty_manifest("another"), "--release", "core_nt", WARMUP_MANIFEST="/nowhere")

    assert outcome.exit_code == 0
    assert outcome.last["database"] == "core_nt"
    assert node.files() == TAXA


def test_what_was_never_here_is_released_at_once(node: WarmNode, server: BlobServer) -> None:
    node.look(server.manifest("core_nt"))

    outcome = node.look(empty_manifest("nt"), "--release")

    assert outcome.exit_code == 0
    assert "removed 0 files of nt: it was not here" in outcome.output
    assert (outcome.last["files_total"], outcome.last["files_done"]) == (0, 0)
    assert node.files() == contents(server, "core_nt")


def test_a_file_of_the_databases_name_that_somebody_else_brought_stays(
    node: WarmNode, server: BlobServer
) -> None:
    node.blast.mkdir()
    (node.blast / "core_nt.00.nsq").write_bytes(b"somebody else's")

    outcome = node.look(server.manifest("core_nt"), "--release")

    assert outcome.exit_code == 0
    assert node.files() == {"core_nt.00.nsq": b"somebody else's"}


def test_what_was_verified_but_never_published_gives_no_right_to_what_lies_there(
    node: WarmNode, server: BlobServer
) -> None:
    node.blast.mkdir()
    (node.blast / "core_nt.00.nsq").write_bytes(b"somebody else's")
    manifest = server.manifest("core_nt")
    next(file for file in manifest["files"] if file["name"] == "core_nt.nal")["md5"] = "A" * 22 + "=="
    assert node.look(manifest).exit_code == 16

    assert node.look(empty_manifest("core_nt"), "--release").exit_code == 0
    assert node.files() == {"core_nt.00.nsq": b"somebody else's"}


def test_a_database_that_was_found_damaged_is_released_whole(node: WarmNode, server: BlobServer) -> None:
    node.look(server.manifest("core_nt"))
    (node.blast / "core_nt.00.nsq").write_bytes(b"damaged")
    assert node.look(server.manifest("core_nt"), "--verify").exit_code == 16

    node.look(empty_manifest("core_nt"), "--release")

    assert node.files() == TAXA


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_half_copied_database_is_released_with_all_that_it_took(
    node: WarmNode, server: BlobServer, share: float
) -> None:
    manifest = server.manifest("core_nt")
    server.bytes_per_second = 4e6
    process = node.start(manifest)
    wait_until(partial(server.has_served, int(manifest["bytes"] * share)))
    kill(process)

    outcome = node.look(empty_manifest("core_nt"), "--release")

    assert outcome.exit_code == 0
    assert node.files() in ({}, TAXA)
    assert not node.private("core_nt").exists()


@pytest.mark.parametrize("mode", ["warm", "check", "verify"])
def test_no_other_look_obeys_an_empty_manifest(node: WarmNode, server: BlobServer, mode: str) -> None:
    outcome = node.look(empty_manifest("core_nt"), WARMUP_MODE=mode)

    assert (outcome.exit_code, outcome.error["kind"]) == (10, "bad_manifest")
    assert "names no file" in outcome.error["message"]
    assert server.requests == []


@pytest.mark.parametrize("name", ["../up", "/etc", ".shared", "a/b"])
def test_a_name_that_must_not_become_a_path_is_not_released(
    node: WarmNode, server: BlobServer, name: str
) -> None:
    node.look(server.manifest("core_nt"))

    outcome = node.look(server.manifest("core_nt"), "--release", name)

    assert outcome.exit_code == 10
    assert node.files() == contents(server, "core_nt")


def test_a_dangling_link_in_a_files_place_is_released_too(node: WarmNode, server: BlobServer) -> None:
    node.look(server.manifest("core_nt"))
    file = node.blast / "core_nt.00.nsq"
    file.unlink()
    file.symlink_to("nowhere")

    outcome = node.look(empty_manifest("core_nt"), "--release")

    assert outcome.exit_code == 0
    assert not file.is_symlink()
