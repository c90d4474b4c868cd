"""Two agents on one node: one works at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testkit.sample_database import contents, put_database
from testkit.warm_node import Outcome, WarmNode, kill, wait_until

if TYPE_CHECKING:
    from testkit.blob_server import BlobServer

PATIENCE_SECONDS = 20


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
