"""What somebody else left where the agent works: named, passed over, or cleared away."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from testkit.sample_database import contents
from testkit.warm_node import WarmNode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testkit.blob_server import BlobServer

SMALL_DISK_BYTES = 2_000_000


def test_a_folder_with_the_name_of_a_file_is_found_before_anything_is_fetched(
    node: WarmNode, server: BlobServer
) -> None:
    (node.blast / "core_nt.01.nsq").mkdir(parents=True)

    outcome = node.look(server.manifest("core_nt"))

    assert (outcome.exit_code, outcome.error["kind"]) == (10, "bad_manifest")
    assert "core_nt.01.nsq is a folder" in outcome.error["message"]
    assert server.requests == []


def test_a_folder_in_place_of_the_marker_is_named(node: WarmNode, server: BlobServer) -> None:
    (node.private("core_nt") / "marker.json").mkdir(parents=True)

    outcome = node.look(server.manifest("core_nt"))

    assert (outcome.exit_code, outcome.error["kind"]) == (10, "bad_manifest")
    assert "marker.json" in outcome.error["message"]
    assert server.served_bytes == 0


def test_what_does_not_belong_into_staging_is_cleared_away(node: WarmNode, server: BlobServer) -> None:
    (node.folder / "precious").write_bytes(b"precious")
    staging = node.private("core_nt") / "staging"
    (staging / "folder" / "in it").mkdir(parents=True)
    (staging / "core_nt.00.nsq").symlink_to(node.folder / "precious")

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert (node.folder / "precious").read_bytes() == b"precious"


@pytest.fixture
def read_only(node: WarmNode, server: BlobServer) -> Iterator[WarmNode]:
    """A node whose disk the kernel has found broken, after it was warmed."""
    node.look(server.manifest("core_nt"))
    subprocess.run(["mount", "--bind", node.blast, node.blast], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", node.blast], check=True)
    yield node
    subprocess.run(["umount", "--lazy", node.blast], check=True)


def test_a_disk_that_is_read_only_is_named(read_only: WarmNode, server: BlobServer) -> None:
    outcome = read_only.look(server.manifest("core_nt"))

    assert (outcome.exit_code, outcome.error["kind"]) == (16, "damaged")
    assert "Read-only file system" in outcome.error["message"]
    assert read_only.look(server.manifest("core_nt"), "--check").exit_code == 0


def test_a_folder_of_another_user_is_named_with_what_to_do(node: WarmNode, server: BlobServer) -> None:
    node.blast.mkdir()
    os.chown(node.blast, 1234, 1234)
    # As in the pod, whose root has no capabilities.
    node.runner = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

    outcome = node.look(server.manifest("core_nt"))

    assert (outcome.exit_code, outcome.error["kind"]) == (10, "bad_manifest")
    assert "not this agent's to write" in outcome.error["message"]
    assert "chown" in outcome.error["remedy"]


@pytest.mark.parametrize("mode", ["warm", "verify"])
def test_a_file_that_a_worker_may_not_read_is_named_with_what_to_do(
    node: WarmNode, server: BlobServer, mode: str
) -> None:
    node.look(server.manifest("core_nt"))
    file = node.blast / "core_nt.00.nsq"
    os.utime(file)  # so that its bytes must tell
    os.chown(file, 1234, 1234)
    file.chmod(0o600)
    node.runner = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

    outcome = node.look(server.manifest("core_nt"), WARMUP_MODE=mode)

    assert (outcome.exit_code, outcome.error["kind"]) == (10, "bad_manifest")
    assert str(file) in outcome.error["message"]


def test_a_pipe_with_the_name_of_a_file_keeps_nobody_waiting(node: WarmNode, server: BlobServer) -> None:
    node.look(server.manifest("core_nt"))
    name = "core_nt.01.nsq"
    (node.blast / name).unlink()
    os.mkfifo(node.blast / name)

    verified = node.look(server.manifest("core_nt"), "--verify")
    warmed = node.look(server.manifest("core_nt"))

    assert (verified.exit_code, verified.error["kind"]) == (16, "damaged")
    assert (warmed.exit_code, warmed.error["kind"]) == (10, "bad_manifest")
    assert f"{name} is a pipe" in warmed.error["message"]


def test_a_disk_without_a_single_free_block_is_told_with_the_shortage(
    node: WarmNode, server: BlobServer, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(SMALL_DISK_BYTES))
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(disk)], check=True)
    node.blast.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(disk), str(node.blast)], check=True)
    try:
        with suppress(OSError), (node.blast / "full").open("wb", buffering=0) as full:
            while full.write(bytes(1024)):
                pass
        outcome = node.look(server.manifest("core_nt"))
    finally:
        subprocess.run(["umount", str(node.blast)], check=True)

    assert (outcome.exit_code, outcome.error["kind"]) == (11, "disk_full")
    assert "bytes short" in outcome.error["message"]
