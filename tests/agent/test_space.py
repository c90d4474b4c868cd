"""A disk that is too small, or fills up on the way: a tmpfs of exactly the size that is told."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from testkit.blob_server import Fault, at_first
from testkit.sample_database import contents
from testkit.warm_node import Outcome, kill, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testkit.blob_server import BlobServer
    from testkit.warm_node import WarmNode

MIB = 1024 * 1024
DATABASE_MIB = 18
# About when a look is over.
LATEST_FILLING_SECONDS = 2.5


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
    needed, free, short = shortage(outcome, node)
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


@pytest.mark.parametrize("seed", range(10))
def test_a_disk_that_fills_up_at_any_moment_leaves_nothing_and_is_enough_again_when_room_is_made(
    node: WarmNode, server: BlobServer, mount: Callable[[int], None], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same moments every time
    mount(DATABASE_MIB + chance.randint(2, 9))
    manifest = server.manifest("core_nt")
    # A moment between the judgement and the first byte, in which others may take the room.
    server.judge = at_first(1, Fault(kind="status", status=403, code="AuthorizationFailure"))
    server.bytes_per_second = 9e6
    process = node.start(manifest)
    if seed % 2:
        time.sleep(chance.uniform(0.1, LATEST_FILLING_SECONDS))
    else:  # judged, and not yet taken
        wait_until(lambda: bool(server.requests))

    # At one moment for whoever judges the room, however slowly it is filled here.
    process.send_signal(signal.SIGSTOP)
    fill(node.blast / "greedy")
    process.send_signal(signal.SIGCONT)
    output, _ = process.communicate()

    outcome = Outcome(exit_code=process.returncode, output=output)
    if outcome.exit_code or not seed % 2:
        assert (outcome.exit_code, outcome.error["kind"]) == (11, "disk_full")
        assert set(node.files()) == {"greedy"}
        assert not list((node.private("core_nt") / "staging").iterdir())
        needed, free, short = shortage(outcome, node)
        assert needed - free == short
        assert free == pytest.approx(free_bytes(node.blast), abs=64 * 1024)
    (node.blast / "greedy").unlink()
    assert node.look(manifest).exit_code == 0
    assert node.files() == contents(server, "core_nt")


def fill(file: Path) -> None:
    """Take all the room there is."""
    with suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(b"\1" * 65536):
            pass


def shortage(outcome: Outcome, node: WarmNode) -> list[int]:
    """What is needed, what is free, and what is short, as the message says it."""
    return [
        int(number) for number in re.findall(r"\d+", outcome.error["message"].replace(str(node.blast), ""))
    ]


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
