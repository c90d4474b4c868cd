"""Which databases a container holds."""

from datetime import UTC, datetime

from shared.domain.cataloguing import find_databases, prefix_of
from shared.domain.staging import StagedBlob


def blob(name: str, size: int = 10) -> StagedBlob:
    return StagedBlob(
        name=name,
        bytes=size,
        etag='"1"',
        md5=None,
        modified=datetime(2026, 5, 1, tzinfo=UTC),
        copy_pending=False,
    )


def found(*names: str) -> list[str]:
    return [prefix_of(each.database) for each in find_databases(map(blob, names))]


def test_volumes_of_one_database_are_one_database() -> None:
    assert found("core_nt/core_nt.00.nsq", "core_nt/core_nt.101.nhr", "core_nt/core_nt.nal") == ["core_nt"]


def test_neighbours_in_one_folder_are_told_apart() -> None:
    assert found("nt/nt_euk.nsq", "nt/nt_viruses.nsq", "nt/nt.nal") == ["nt", "nt/nt_euk", "nt/nt_viruses"]


def test_custom_databases_have_a_folder_of_their_own() -> None:
    assert found("custom_db/mine/mine.psq", "mine/mine.nsq") == ["custom_db/mine", "mine"]


def test_scratch_shards_and_metadata_are_no_databases() -> None:
    scratch = (
        "custom_db/.staging/mine/input.nsq",
        "custom-db-build/mine/mine.nsq",
        "10shards/core_nt_shard_01/core_nt_shard_01.nal",
        "metadata/oracles/core_nt.nsq",
        "core_nt-metadata.json",
        "core_nt/core_nt-nucl-metadata.json",
        "core_nt/taxdb.btd",
        "core_nt/taxonomy4blast.sqlite3",
        "loose.nsq",
    )

    assert found(*scratch) == []


def test_names_that_nobody_could_ask_for_are_left_out() -> None:
    assert found("a b/a b.nsq", "x/$(id).nsq", "deep/er/than/any.nsq") == []


def test_a_database_knows_its_own_files_and_its_folders() -> None:
    (each,) = find_databases(map(blob, ("a/a.nsq", "a/a.nin", "a/taxdb.btd", "a/readme.txt")))

    assert [own.name for own in each.own] == ["a/a.nsq", "a/a.nin"]
    assert len(each.folder) == 4
