"""A node is warmed, looked at again, damaged, updated and released, over a real server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.blob_server import Fault, always
from testkit.sample_database import contents, put_database
from testkit.warm_node import kill, wait_until

from agent.ledger import BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from testkit.blob_server import BlobServer
    from testkit.warm_node import WarmNode


def truncate(blast: Path) -> None:
    os.truncate(blast / "core_nt.01.nsq", 4096)


def empty(blast: Path) -> None:
    (blast / "core_nt.01.nsq").write_bytes(b"")


def remove(blast: Path) -> None:
    (blast / "core_nt.01.nsq").unlink()


def overwrite(blast: Path) -> None:
    with (blast / "core_nt.01.nsq").open("r+b") as stream:
        stream.seek(5_000_000)
        stream.write(b"\0" * 4096)


def swap(blast: Path) -> None:
    """Each gets the other's bytes and keeps its own time, as if both had been written in one tick."""
    first, second = blast / "core_nt.00.nsq", blast / "core_nt.01.nsq"
    times = [path.stat().st_mtime_ns for path in (first, second)]
    first.rename(blast / "aside")
    second.rename(first)
    (blast / "aside").rename(second)
    for path, time in zip((first, second), times, strict=True):
        os.utime(path, ns=(time, time))


def damage_with_its_time_put_back(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(before.st_size // 2)
        stream.write(b"\0\0\0\0")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_cold_node_gets_every_byte(node: WarmNode, server: BlobServer) -> None:
    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert server.served_bytes == sum(map(len, node.files().values()))


def test_a_volume_of_several_blocks_arrives_whole(node: WarmNode, server: BlobServer) -> None:
    server.put("large/large.nsq", os.urandom(2 * BLOCK_BYTES + 7), md5=True)

    outcome = node.look(server.manifest("large"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "large")


def test_a_second_look_asks_the_account_for_nothing(node: WarmNode, server: BlobServer) -> None:
    first = node.look(server.manifest("core_nt"))
    server.forget()

    second = node.look(server.manifest("core_nt"))

    assert second.exit_code == 0
    assert server.requests == []
    assert second.last["digest"] == first.last["digest"]
    assert second.last["bytes_fetched"] == second.last["files_fetched"] == 0


@pytest.mark.parametrize("harm", [truncate, empty, remove, overwrite])
def test_a_harmed_file_is_fetched_again_and_no_other(
    node: WarmNode, server: BlobServer, harm: Callable[[Path], None]
) -> None:
    node.look(server.manifest("core_nt"))
    server.forget()

    harm(node.blast)
    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert dict(server.served) == {"core_nt/core_nt.01.nsq": 9_000_000}
    assert outcome.last["files_fetched"] == 1


def overwrite_start(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.write(b"\0" * 4)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: path.write_bytes(b""),
        Path.unlink,
        overwrite_start,
    ],
    ids=["halved", "emptied", "removed", "overwritten"],
)
def test_whichever_file_is_harmed_is_found_and_mended_alone(
    node: WarmNode, server: BlobServer, harm: Callable[[Path], None]
) -> None:
    manifest, whole = server.manifest("core_nt"), contents(server, "core_nt")
    node.look(manifest)
    for file in manifest["files"]:
        server.forget()
        harm(node.blast / file["name"])

        assert node.look(manifest).exit_code == 0
        assert node.files() == whole
        assert set(server.served) <= {file["blob"]}


def ways_in(node: WarmNode) -> set[str]:
    return {name for name in node.files() if name.endswith((".nal", ".nin"))}


def test_what_was_harmed_cannot_be_entered_until_it_is_whole_again(
    node: WarmNode, server: BlobServer
) -> None:
    node.look(server.manifest("core_nt"))
    server.forget()
    remove(node.blast)
    server.judge = always(Fault(kind="status", status=403, code="AuthorizationFailure"))
    process = node.start(server.manifest("core_nt"))
    wait_until(lambda: '"storage_closed"' in node.termination_log.read_text())

    assert ways_in(node) == set()

    server.judge = lambda _: None
    process.communicate()
    assert process.returncode == 0
    assert node.files() == contents(server, "core_nt")
    assert set(server.served) == {"core_nt/core_nt.01.nsq"}


def test_a_whole_generation_stays_while_the_next_one_is_waited_for(
    node: WarmNode, server: BlobServer
) -> None:
    node.look(server.manifest("core_nt"))
    before = node.files()
    put_database(server, "core_nt", seed=2)
    server.judge = always(Fault(kind="status", status=403, code="AuthorizationFailure"), method="HEAD")
    process = node.start(server.manifest("core_nt"))
    wait_until(lambda: '"storage_closed"' in node.termination_log.read_text())

    kill(process)

    assert node.files() == before


def test_swapped_files_are_both_fetched_again(node: WarmNode, server: BlobServer) -> None:
    node.look(server.manifest("core_nt"))
    server.forget()

    swap(node.blast)
    node.look(server.manifest("core_nt"))

    assert node.files() == contents(server, "core_nt")
    assert set(server.served) == {"core_nt/core_nt.00.nsq", "core_nt/core_nt.01.nsq"}


def test_a_touched_file_is_read_but_not_fetched(node: WarmNode, server: BlobServer) -> None:
    node.look(server.manifest("core_nt"))
    server.forget()

    os.utime(node.blast / "core_nt.00.nsq")
    os.utime(node.blast / "taxdb.btd")
    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert server.requests == []


@pytest.mark.parametrize("harm", [truncate, empty, remove, overwrite, swap])
def test_check_sees_harm_without_a_request(
    node: WarmNode, server: BlobServer, harm: Callable[[Path], None]
) -> None:
    node.look(server.manifest("core_nt"))
    server.forget()

    assert node.look(server.manifest("core_nt"), "--check").exit_code == 0
    harm(node.blast)
    outcome = node.look(server.manifest("core_nt"), "--check")

    assert outcome.exit_code == 16
    assert outcome.error["kind"] == "damaged"
    assert server.requests == []


@pytest.mark.parametrize("name", ["core_nt.01.nsq", "taxdb.btd"])
def test_verify_finds_what_sizes_and_times_hide_and_the_next_look_mends_it(
    node: WarmNode, server: BlobServer, name: str
) -> None:
    manifest = server.manifest("core_nt")
    first = node.look(manifest)
    server.forget()

    damage_with_its_time_put_back(node.blast / name)
    assert node.look(manifest, "--check").exit_code == 0
    verified = node.look(manifest, WARMUP_MODE="verify")
    assert (verified.exit_code, verified.error["kind"]) == (16, "damaged")
    assert name in verified.error["message"]
    assert server.requests == []

    mended = node.look(manifest)
    assert mended.exit_code == 0
    assert set(server.served) == {f"core_nt/{name}"}
    assert node.files() == contents(server, "core_nt")
    assert node.look(manifest, "--verify").last["digest"] == first.last["digest"]


def test_a_marker_that_was_cut_short_costs_no_byte(node: WarmNode, server: BlobServer) -> None:
    first = node.look(server.manifest("core_nt"))
    os.truncate(node.private("core_nt") / "marker.json", 40)
    server.forget()

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert server.requests == []
    assert outcome.last["digest"] == first.last["digest"]
    assert node.look(server.manifest("core_nt"), "--check").exit_code == 0


def test_what_was_harmed_cannot_be_entered_though_the_marker_is_lost(
    node: WarmNode, server: BlobServer
) -> None:
    node.look(server.manifest("core_nt"))
    (node.private("core_nt") / "marker.json").unlink()
    os.truncate(node.blast / "core_nt.00.nsq", 1000)
    server.judge = always(Fault(kind="status", status=403, code="AuthorizationFailure"), method="HEAD")
    server.forget()
    process = node.start(server.manifest("core_nt"))

    wait_until(lambda: len(server.requests) > 0)  # it waits for the account by now
    entered = {"core_nt.nal", "core_nt.00.nin"} & set(node.files())
    kill(process)

    assert entered == set()


def test_what_an_abandoned_generation_left_is_never_published_with_another(
    node: WarmNode, server: BlobServer
) -> None:
    manifest = server.manifest("core_nt")
    node.look(manifest)
    before = node.files()
    put_database(server, "core_nt", seed=2)
    server.bytes_per_second = 1e6
    process = node.start(server.manifest("core_nt"))
    server.forget()
    wait_until(server.has_served)
    kill(process)
    os.truncate(node.private("core_nt") / "marker.json", 40)

    assert node.look(manifest).exit_code == 0
    assert node.files() == before


def test_verify_on_a_cold_node_copies_nothing(node: WarmNode, server: BlobServer) -> None:
    outcome = node.look(server.manifest("core_nt"), "--verify")

    assert outcome.exit_code == 16
    assert node.files() == {}
    assert server.requests == []


def test_a_file_that_is_not_the_databases_is_left_alone(node: WarmNode, server: BlobServer) -> None:
    node.blast.mkdir()
    (node.blast / "core_nt.99.nsq").write_bytes(b"somebody else's")
    (node.blast / "notes.txt").write_bytes(b"mine")

    node.look(server.manifest("core_nt"))
    node.look(server.manifest("core_nt"), "--release")

    assert node.files() == {
        "core_nt.99.nsq": b"somebody else's",
        "notes.txt": b"mine",
        "taxdb.btd": b"taxa of 2026",
    }


def test_a_stray_file_among_the_agents_own_disturbs_nobody(node: WarmNode, server: BlobServer) -> None:
    (node.blast / ".warmup").mkdir(parents=True)
    (node.blast / ".warmup" / ".nfs0001").write_text("left by a file system")

    assert node.look(server.manifest("core_nt")).exit_code == 0
    assert node.look(server.manifest("core_nt"), "--release").exit_code == 0


def test_a_database_whose_name_begins_with_anothers_is_another(node: WarmNode, server: BlobServer) -> None:
    put_database(server, "core_nt_pathogen", volumes=1)
    node.look(server.manifest("core_nt_pathogen"))

    assert node.look(server.manifest("core_nt"), "--check").exit_code == 16
    node.look(server.manifest("core_nt"))
    assert node.files() == contents(server, "core_nt", "core_nt_pathogen")

    node.look(server.manifest("core_nt"), "--release")
    assert node.files() == contents(server, "core_nt_pathogen")
    assert node.look(server.manifest("core_nt_pathogen"), "--check").exit_code == 0


def test_a_new_generation_replaces_the_old_one_and_what_it_had_more(
    node: WarmNode, server: BlobServer
) -> None:
    put_database(server, "nt", volumes=3)
    node.look(server.manifest("nt"))
    for name in [name for name in server.blobs if name.startswith("nt/")]:
        del server.blobs[name]
    put_database(server, "nt", volumes=2, seed=2)

    outcome = node.look(server.manifest("nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "nt")


def test_the_newest_taxonomy_wins_whichever_database_brings_it(node: WarmNode, server: BlobServer) -> None:
    put_database(server, "old", volumes=1)
    server.put("core_nt/taxdb.btd", b"taxa of tomorrow", modified="2027-01-01T00:00:00Z")

    node.look(server.manifest("core_nt"))
    outcome = node.look(server.manifest("old"))

    assert outcome.exit_code == 0
    assert node.files()["taxdb.btd"] == b"taxa of tomorrow"
    assert node.look(server.manifest("old"), "--verify").exit_code == 0
    assert node.look(server.manifest("core_nt"), "--verify").exit_code == 0


def test_of_two_taxonomies_of_one_second_one_wins_for_good(node: WarmNode, server: BlobServer) -> None:
    for database in ("aa", "bb"):
        put_database(server, database, volumes=1, volume_bytes=1000)
        server.put(f"{database}/taxdb.btd", f"taxa of {database}".encode())
        assert node.look(server.manifest(database)).exit_code == 0
    server.forget()

    for database in ("aa", "bb"):
        assert node.look(server.manifest(database)).exit_code == 0
        assert node.look(server.manifest(database), "--check").exit_code == 0
    assert server.served_bytes == 0


def test_the_newest_taxonomy_stays_also_when_somebody_touched_it(node: WarmNode, server: BlobServer) -> None:
    put_database(server, "old", volumes=1)
    server.put("core_nt/taxdb.btd", b"taxa of next year", modified="2027-01-01T00:00:00Z")
    node.look(server.manifest("core_nt"))

    os.utime(node.blast / "taxdb.btd")
    node.look(server.manifest("old"))

    assert node.files()["taxdb.btd"] == b"taxa of next year"
    assert "old/taxdb.btd" not in server.served


def test_a_taxonomy_file_is_remembered_before_it_is_published(node: WarmNode, server: BlobServer) -> None:
    server.put("core_nt/taxdb.btd", b"taxa that only their receipt vouches for")
    in_the_way = node.blast / ".warmup" / ".shared" / "receipts.jsonl.new"
    in_the_way.mkdir(parents=True)
    assert node.look(server.manifest("core_nt")).exit_code != 0
    in_the_way.rmdir()
    server.forget()

    outcomes = [node.look(server.manifest("core_nt")) for _ in range(2)]

    assert [outcome.exit_code for outcome in outcomes] == [0, 0]
    assert server.served_bytes == 0


def test_a_database_may_not_take_over_the_files_of_another(node: WarmNode, server: BlobServer) -> None:
    node.look(server.manifest("core_nt"))
    thief = {**server.manifest("core_nt"), "database": "thief"}

    outcome = node.look(thief)

    assert (outcome.exit_code, outcome.error["kind"]) == (10, "bad_manifest")
    assert node.look(server.manifest("core_nt"), "--check").exit_code == 0


def test_no_file_of_another_database_passes_for_one_in_common(node: WarmNode, server: BlobServer) -> None:
    node.look(server.manifest("core_nt"))
    before = node.files()
    server.put("evil/core_nt.00.nsq", b"something else", modified="2030-01-01T00:00:00Z")
    manifest = server.manifest("evil")
    manifest["files"][0]["shared"] = True

    outcome = node.look(manifest)

    assert (outcome.exit_code, outcome.error["kind"]) == (10, "bad_manifest")
    assert "core_nt.00.nsq already belongs to another database" in outcome.error["message"]
    assert node.files() == before


def test_no_database_makes_what_all_have_in_common_its_own(node: WarmNode, server: BlobServer) -> None:
    node.look(server.manifest("core_nt"))
    before = node.files()
    server.put("evil/taxdb.btd", b"something else")
    manifest = server.manifest("evil")
    manifest["files"][0]["shared"] = False

    assert node.look(manifest).error["message"].startswith("taxdb.btd already belongs")
    assert node.look(manifest, "--release").exit_code == 0
    assert node.files() == before


def test_reading_what_was_touched_is_told_as_it_goes_on(node: WarmNode, server: BlobServer) -> None:
    """However long it takes, a report comes every second."""
    size = 2_000_000_000
    node.blast.mkdir()
    with (node.blast / "zeros.nsq").open("wb") as stream:
        stream.truncate(size)
    server.put("zeros/zeros.nsq", b"not that many")
    manifest = server.manifest("zeros", bytes=size)
    manifest["files"][0].update(size=size, md5="AAAAAAAAAAAAAAAAAAAAAA==")

    outcome = node.look(manifest)

    checking = [report for report in outcome.reports if report["phase"] == "checking"]
    assert len(checking) > 1
    assert {report["bytes_done"] for report in checking} == {0}


def test_nodes_with_the_same_bytes_report_the_same_digest(
    node: WarmNode, server: BlobServer, tmp_path: Path
) -> None:
    other = type(node)(folder=tmp_path / "other", server=server)
    other.folder.mkdir()

    digests = {each.look(server.manifest("core_nt")).last["digest"] for each in (node, other)}

    assert len(digests) == 1
