"""A disk that is too small, or fills up on the way: a tmpfs of exactly the size that is told."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from testkit.sample_database import contents
from testkit.warm_node import kill, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testkit.blob_server import BlobServer
    from testkit.warm_node import WarmNode

MIB = 1024 * 1024
DATABASE_MIB = 18


@pytest.fixture
def mount(node: WarmNode) -> Iterator[Callable[[int], None]]:
    """Give the node's folder a file system of so many MiB."""
    node.blast.mkdir()

    def of_size(size: int) -> None:
        options = f"size={size}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(node.blast)], check=True)

    yield of_size
    subprocess.run(["umount", "--lazy", str(node.blast)], check=True)


def free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def test_a_disk_that_is_too_small_is_refused_before_byte_one_with_the_exact_shortage(
    node: WarmNode, server: BlobServer, mount: Callable[[int], None]
) -> None:
    mount(10)

    outcome = node.look(server.manifest("core_nt"))

    assert (outcome.exit_code, outcome.error["kind"]) == (11, "disk_full")
    assert server.served_bytes == 0
    numbers = re.findall(r"\d+", outcome.error["message"].replace(str(node.blast), ""))
    needed, free, short = map(int, numbers)
    assert needed - free == short
    assert needed == pytest.approx(sum(map(len, contents(server, "core_nt").values())), abs=1.1 * MIB)
    assert not list((node.private("core_nt") / "staging").iterdir())


def test_a_disk_that_just_suffices_is_enough(
    node: WarmNode, server: BlobServer, mount: Callable[[int], None]
) -> None:
    mount(DATABASE_MIB + 1)

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")


def test_a_new_generation_needs_room_beside_the_old_one(
    node: WarmNode, server: BlobServer, mount: Callable[[int], None]
) -> None:
    mount(DATABASE_MIB + 10)
    node.look(server.manifest("core_nt"))
    before = node.files()
    for name in list(server.blobs):
        server.put(name, server.blobs[name].content[::-1])

    outcome = node.look(server.manifest("core_nt"))

    assert (outcome.exit_code, outcome.error["kind"]) == (11, "disk_full")
    assert node.files() == before


def test_room_that_is_taken_away_midway_hurts_nobody_because_it_was_reserved(
    node: WarmNode, server: BlobServer, mount: Callable[[int], None]
) -> None:
    mount(DATABASE_MIB + 10)
    server.bytes_per_second = 2e6
    process = node.start(server.manifest("core_nt"))
    wait_until(server.has_served)

    (node.blast / "greedy").write_bytes(b"\1" * (free_bytes(node.blast) - MIB))
    process.communicate()

    assert process.returncode == 0
    assert node.files().items() >= contents(server, "core_nt").items()


def test_releasing_gives_back_what_a_half_done_look_had_taken(
    node: WarmNode, server: BlobServer, mount: Callable[[int], None]
) -> None:
    mount(DATABASE_MIB + 10)
    before = free_bytes(node.blast)
    server.bytes_per_second = 2e6
    process = node.start(server.manifest("core_nt"))
    wait_until(server.has_served)
    kill(process)
    assert free_bytes(node.blast) < before - DATABASE_MIB // 2 * MIB

    outcome = node.look(server.manifest("core_nt"), "--release")

    assert outcome.exit_code == 0
    assert free_bytes(node.blast) == pytest.approx(before, abs=64 * 1024)
