"""A warm database is brought into memory where vmtouch is there: an extra that fails nobody."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.caching import allowed_bytes

if TYPE_CHECKING:
    from testkit.blob_server import BlobServer
    from testkit.warm_node import WarmNode

MEBIBYTE = 1024 * 1024


def forget_pages(folder: Path) -> None:
    """What time does to files that nobody reads."""
    for path in folder.iterdir():
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def install(folder: Path, script: str) -> str:
    """A PATH on which vmtouch does this."""
    program = folder / "bin" / "vmtouch"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def test_a_look_that_fetches_nothing_brings_the_database_into_memory(
    node: WarmNode, server: BlobServer
) -> None:
    manifest = server.manifest("core_nt")
    fetching = node.look(manifest)
    forget_pages(node.blast)

    outcome = node.look(manifest)

    assert fetching.last["cached_bytes"] is None
    assert outcome.exit_code == 0
    assert outcome.last["cached_bytes"] >= manifest["bytes"]
    assert "bytes were in memory" in outcome.output


@pytest.mark.parametrize("script", ["exit 3", "kill -9 $$", "echo nonsense", "echo Resident Pages: x"])
def test_whatever_vmtouch_does_the_look_is_ready(
    node: WarmNode, server: BlobServer, tmp_path: Path, script: str
) -> None:
    node.environment = {"PATH": install(tmp_path, script)}
    node.look(server.manifest("core_nt"))

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert outcome.last["phase"] == "ready"


def test_what_memory_allows_is_half_of_the_smaller_of_node_and_container(tmp_path: Path) -> None:
    memory, limit = tmp_path / "meminfo", tmp_path / "memory.max"
    memory.write_text("MemTotal:  9999 kB\nMemAvailable:   8192 kB\n")

    assert allowed_bytes(memory, limit) == 4 * MEBIBYTE
    limit.write_text("max\n")
    assert allowed_bytes(memory, limit) == 4 * MEBIBYTE
    limit.write_text(f"{2 * MEBIBYTE}\n")
    assert allowed_bytes(memory, limit) == MEBIBYTE
    assert allowed_bytes(tmp_path / "nothing", limit) == 0
