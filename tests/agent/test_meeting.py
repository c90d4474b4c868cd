"""Two agents on one node: one works at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testkit.sample_database import contents, put_database
from testkit.warm_node import Outcome, WarmNode, kill, wait_until

if TYPE_CHECKING:
    from testkit.blob_server import BlobServer

PATIENCE_SECONDS = 20
WINDOW_SECONDS = 4
# A server counts what it has handed to the kernel: what two connections buffer comes on top.
ON_THE_WAY_BYTES = 2_000_000


def test_of_two_agents_one_works_and_the_other_finds_it_done(node: WarmNode, server: BlobServer) -> None:
    manifest = server.manifest("core_nt")

    first, second = node.start(manifest), node.start(manifest)
    outcomes = [process.communicate(timeout=PATIENCE_SECONDS)[0] for process in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0)
    assert server.served_bytes == manifest["bytes"]
    fetched = sorted(Outcome(exit_code=0, output=output).last["bytes_fetched"] for output in outcomes)
    assert fetched == [0, manifest["bytes"]]


def test_an_agent_that_waits_in_vain_for_another_says_busy(node: WarmNode, server: BlobServer) -> None:
    server.bytes_per_second = 1e5
    first = node.start(server.manifest("core_nt"))
    wait_until(server.has_served)

    outcome = node.look(server.manifest("core_nt"))

    kill(first)
    assert (outcome.exit_code, outcome.error["kind"]) == (18, "busy")


def test_two_databases_are_warmed_side_by_side(node: WarmNode, server: BlobServer) -> None:
    put_database(server, "nt", volumes=1)

    agents = [node.start(server.manifest(database)) for database in ("core_nt", "nt")]
    codes = [(agent.communicate(timeout=PATIENCE_SECONDS), agent.returncode)[1] for agent in agents]

    assert codes == [0, 0]
    assert node.files() == contents(server, "core_nt", "nt")


def test_databases_that_are_warmed_side_by_side_share_one_ceiling(node: WarmNode, server: BlobServer) -> None:
    databases = ("first", "second")
    for database in databases:
        put_database(server, database, volumes=1, volume_bytes=8_000_000)

    agents = [node.start(server.manifest(each), WARMUP_MAX_MBPS="2") for each in databases]
    codes = [(agent.communicate(timeout=PATIENCE_SECONDS), agent.returncode)[1] for agent in agents]

    assert codes == [0, 0]
    assert server.most_within(WINDOW_SECONDS) <= 2e6 * WINDOW_SECONDS + ON_THE_WAY_BYTES


def test_of_two_databases_that_bring_the_same_names_only_one_is_published(
    node: WarmNode, server: BlobServer
) -> None:
    manifest = server.manifest("core_nt")
    thief = {**manifest, "database": "thief"}
    server.bytes_per_second = 1e5
    agents = [node.start(each, WARMUP_RUN_ID=each["database"]) for each in (manifest, thief)]
    wait_until(lambda: {"core_nt", "thief"} <= {r.headers["x-ms-client-request-id"] for r in server.requests})
    server.bytes_per_second = None

    codes = [(agent.communicate(timeout=PATIENCE_SECONDS), agent.returncode)[1] for agent in agents]

    assert sorted(codes) == [0, 10]
    published, refused = (manifest, thief) if codes[0] == 0 else (thief, manifest)
    assert node.look(published, "--check").exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert not list((node.private(refused["database"]) / "staging").iterdir())
