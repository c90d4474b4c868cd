"""A hundred kills at random moments: no database is ever half there, and almost no byte is fetched twice."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from testkit.sample_database import contents, put_database
from testkit.warm_node import WarmNode, kill, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from testkit.blob_server import BlobServer

SERIES = 10
KILLS = 10
KILLS_OF_ONE_COPY = 100
LONG_VOLUME_BYTES = 18_000_000
# Of what is missing: the copy must not be over before its last kill.
LARGEST_STEP = 0.03
VOLUME_BYTES = 4_000_000
# From the moment that the server sees something, until about when the last file is published.
LONGEST_WHILE_SECONDS = 0.05


@pytest.mark.parametrize("seed", range(SERIES))
def test_ten_kills_in_a_row_waste_almost_nothing(node: WarmNode, server: BlobServer, seed: int) -> None:
    put_database(server, "nt", volumes=1, volume_bytes=VOLUME_BYTES)
    manifest = server.manifest("nt")
    chance = random.Random(seed)  # noqa: S311 - the same moments every time

    for _ in range(KILLS):
        missing = manifest["bytes"] - server.served_bytes
        process = node.start(manifest)
        moment = server.served_bytes + int(missing * chance.uniform(0, 0.4))
        wait_until(served_or(server, moment, lambda: process.poll() is not None))  # noqa: B023 - waited for here
        time.sleep(chance.uniform(0, LONGEST_WHILE_SECONDS))
        kill(process)
        assert_whole_or_nothing(node, server)
    outcome = node.look(manifest)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "nt")
    assert server.served_bytes <= manifest["bytes"] * 1.02


def test_a_hundred_kills_of_one_copy_waste_almost_nothing(node: WarmNode, server: BlobServer) -> None:
    put_database(server, "nt", volumes=2, volume_bytes=LONG_VOLUME_BYTES)
    manifest = server.manifest("nt")
    chance = random.Random(100)  # noqa: S311 - the same moments every time

    for _ in range(KILLS_OF_ONE_COPY):
        before = server.served_bytes
        process = node.start(manifest)
        moment = before + int((manifest["bytes"] - before) * chance.uniform(0, LARGEST_STEP))
        wait_until(served_or(server, moment, lambda: process.poll() is not None))  # noqa: B023 - waited for here
        kill(process)
        assert process.returncode == -signal.SIGKILL
        assert_whole_or_nothing(node, server)
    outcome = node.look(manifest)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "nt")
    assert server.served_bytes <= manifest["bytes"] * 1.02


def served_or(server: BlobServer, count: int, over: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: server.has_served(count) or over()


def assert_whole_or_nothing(node: WarmNode, server: BlobServer) -> None:
    """Whoever finds the way in finds everything."""
    found = node.files()
    if "nt.nal" in found:
        assert found == contents(server, "nt")
