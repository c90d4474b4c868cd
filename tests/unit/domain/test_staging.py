"""What lies in the container, and whether it is one complete database."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.model import Database
from shared.domain.refusals import Reason, Refusal
from shared.domain.staging import Listing, Manifest, StagedBlob, as_remembered, judge_staging

CORE_NT = Database(name="core_nt", folder="core_nt")
WHEN = datetime(2026, 5, 26, 1, 5, tzinfo=UTC)
VOLUME = ("nhr", "nin", "nsq")
JOINTS = ("nal", "ndb", "nos", "not", "ntf", "nto")
SHARED = ("taxdb.btd", "taxdb.bti", "taxonomy4blast.sqlite3")
EACH = 100  # bytes of every blob here


def blob(name: str, **changes: Any) -> StagedBlob:
    plain = StagedBlob(name=name, bytes=EACH, etag=f'"{name}"', md5=None, modified=WHEN, copy_pending=False)
    return replace(plain, **changes)


def files(database: Database = CORE_NT, volumes: int = 3) -> list[str]:
    """The blobs of a complete database of several volumes."""
    numbered = [f"{database.path}.{n:02d}.{part}" for n in range(volumes) for part in VOLUME]
    return [*numbered, *(f"{database.path}.{joint}" for joint in JOINTS)]


def listing(*names: str, database: Database = CORE_NT, **changes: Any) -> Listing:
    plain = Listing(
        database=database,
        container="blast-db",
        blobs=tuple(blob(name) for name in names),
        dashboard_metadata=None,
        ncbi_metadata=None,
    )
    return replace(plain, **changes)


def manifest(given_listing: Listing) -> Manifest:
    judged = judge_staging(given_listing)
    assert isinstance(judged, Manifest), judged
    return judged


def refusal(given_listing: Listing) -> Refusal:
    judged = judge_staging(given_listing)
    assert isinstance(judged, Refusal), judged
    return judged


def test_a_complete_database_becomes_a_manifest() -> None:
    whole = manifest(listing(*files(), *(f"core_nt/{name}" for name in SHARED)))

    assert (whole.molecule, len(whole.files), whole.bytes) == ("nucl", 18, 1_800)
    assert whole.describe().volumes == 3
    assert [file.name for file in whole.files if file.shared] == sorted(SHARED)


def test_a_protein_database_is_told_by_its_sequences() -> None:
    whole = manifest(
        listing("nr/nr.phr", "nr/nr.pin", "nr/nr.psq", database=Database(name="nr", folder="nr"))
    )

    assert whole.molecule == "prot"


def test_a_single_volume_needs_no_alias() -> None:
    single = Database(name="16S_ribosomal_RNA", folder="16S_ribosomal_RNA")

    whole = manifest(listing(*(f"{single.path}.{part}" for part in VOLUME), database=single))

    assert whole.describe().volumes == 1


def test_volumes_above_ninety_nine_are_counted_on() -> None:
    assert manifest(listing(*files(volumes=102))).describe().volumes == 102


@pytest.mark.parametrize(
    "database", [Database(name="nt_euk", folder="nt"), Database(name="mine", folder="custom_db/mine")]
)
def test_a_nested_database_is_found_in_its_folder(database: Database) -> None:
    assert manifest(listing(*files(database), database=database)).database == database


@pytest.mark.parametrize(
    "stray",
    [
        "core_nt/core_nt_pathogen.00.nsq",
        "core_nt/core_nt2.nsq",
        "core_nt/core_nt.00.nsq.bak",
        "core_nt/core_nt.nsqx",
        "core_nt/core_nt.00.00.nsq",
        "core_nt/sub/core_nt.09.nsq",
        "core_nt_pathogen/core_nt.09.nsq",
        "core_nt/.azDownload-1-core_nt.00.nsq",
        "core_nt/core_nt.00.md5",
        "core_nt/README",
    ],
)
def test_what_only_looks_like_it_is_left_out(stray: str) -> None:
    assert manifest(listing(*files(), stray)) == manifest(listing(*files()))


@pytest.mark.parametrize(
    "name",
    ["$(reboot).nsq", "core_nt.00.nsq\n", "core_nt.00.nsq'", "../core_nt.00.nsq", "c\u043ere_nt.00.nsq", ""],
)
def test_hostile_names_never_reach_a_manifest(name: str) -> None:
    whole = manifest(listing(*files(), f"core_nt/{name}", f"core_nt/{'a' * 300}.nsq"))

    assert [file.blob for file in whole.files] == sorted(files())


@given(st.lists(st.text(max_size=30), max_size=5))
def test_no_blob_name_breaks_the_judging(names: list[str]) -> None:
    judged = judge_staging(listing(*(f"core_nt/{name}" for name in names), *names))

    assert isinstance(judged, Refusal)
    assert judged.reason in (Reason.DATABASE_NOT_FOUND, Reason.DATABASE_INCOMPLETE)


def test_nothing_staged_is_told_apart_from_half_staged() -> None:
    assert refusal(listing()).reason is Reason.DATABASE_NOT_FOUND
    assert refusal(listing("core_nt/taxdb.btd")).reason is Reason.DATABASE_NOT_FOUND
    assert refusal(listing("core_nt/core_nt.nal")).reason is Reason.DATABASE_INCOMPLETE


def test_a_pending_copy_of_one_file_is_a_half_copied_database() -> None:
    blobs = tuple(blob(name, copy_pending=name.endswith(".01.nsq")) for name in files())

    answer = refusal(listing(blobs=blobs))

    assert (answer.reason, "1 files are still being copied" in answer.message) == (
        Reason.DATABASE_INCOMPLETE,
        True,
    )


def test_a_pending_copy_of_a_neighbour_is_none_of_ours() -> None:
    blobs = (*(blob(name) for name in files()), blob("core_nt/core_nt_pathogen.nsq", copy_pending=True))

    assert manifest(listing(blobs=blobs))


@pytest.mark.parametrize("phase", ["queued", "copying", "partial", "init_failed", "cancelled", 7, ["x"]])
def test_any_copy_phase_but_completed_is_half_copied(phase: object) -> None:
    answer = refusal(listing(*files(), dashboard_metadata={"copy_status": {"phase": phase}}))

    assert answer.reason is Reason.DATABASE_INCOMPLETE
    assert answer.message.startswith("database 'core_nt' is half copied")


@pytest.mark.parametrize(
    "metadata", [{}, {"copy_status": None}, {"copy_status": {"phase": "completed"}}, {"copy_status": "?"}]
)
def test_metadata_that_says_nothing_against_it_lets_it_pass(metadata: dict[str, object]) -> None:
    assert manifest(listing(*files(), dashboard_metadata=metadata))


def test_a_copy_that_has_only_begun_is_waited_for_not_repeated() -> None:
    begun = {"copy_status": {"phase": "copying"}}

    assert "wait for the copy" in refusal(listing(dashboard_metadata=begun)).remedy
    assert "wait for the copy" in refusal(listing("core_nt/core_nt.nal", dashboard_metadata=begun)).remedy


def test_a_database_that_is_being_replaced_is_left_alone() -> None:
    answer = refusal(listing(*files(), dashboard_metadata={"update_in_progress": True}))

    assert (answer.reason, answer.remedy) == (Reason.DATABASE_UPDATING, "start again when the update is over")


@pytest.mark.parametrize(
    "gone",
    [
        "core_nt/core_nt.00.nsq",
        "core_nt/core_nt.01.nin",
        "core_nt/core_nt.02.nhr",
        "core_nt/core_nt.nal",
        "core_nt/core_nt.ndb",
    ],
)
def test_a_missing_file_that_a_search_needs_is_named(gone: str) -> None:
    answer = refusal(listing(*(name for name in files() if name != gone)))

    assert answer.reason is Reason.DATABASE_INCOMPLETE
    assert answer.message == f"database 'core_nt' has no '{gone.removeprefix('core_nt/')}'"


def test_a_volume_missing_in_the_middle_is_named() -> None:
    assert "'core_nt.01.nsq'" in refusal(listing(*(n for n in files() if ".01." not in n))).message


def test_a_database_without_its_alias_says_so() -> None:
    answer = refusal(listing(*(name for name in files(volumes=1) if not name.endswith(".nal"))))

    assert answer.message == "database 'core_nt' has no 'core_nt.nal'"


@pytest.mark.parametrize("empty", ["core_nt/core_nt.00.nsq", "core_nt/core_nt.01.nin", "core_nt/core_nt.nal"])
def test_an_empty_file_is_not_a_file(empty: str) -> None:
    blobs = tuple(blob(name, bytes=0 if name == empty else EACH) for name in files())

    assert refusal(listing(blobs=blobs)).message.startswith("database 'core_nt' has an empty ")


def ncbi(**changes: object) -> dict[str, object]:
    """NCBI's own word on the database of three volumes."""
    names = [f"s3://ncbi-blast-databases/2026-05-26/{name.removeprefix('core_nt/')}" for name in files()]
    return {"files": names, "bytes-total": EACH * len(names), "number-of-volumes": 3} | changes


def test_agreement_with_ncbis_metadata_lets_it_pass() -> None:
    assert manifest(listing(*files(), ncbi_metadata=ncbi()))


def test_a_file_that_ncbi_lists_and_is_not_there_is_named() -> None:
    answer = refusal(listing(*(n for n in files() if not n.endswith(".nos")), ncbi_metadata=ncbi()))

    assert answer.reason is Reason.DATABASE_INCONSISTENT
    assert "lacks 1 of the 15 files its own metadata lists: 'core_nt.nos'" in answer.message


def test_fewer_bytes_than_ncbi_says_are_a_file_cut_short() -> None:
    answer = refusal(listing(*files(), ncbi_metadata=ncbi(**{"bytes-total": 1_501})))

    assert (answer.reason, "1500 bytes" in answer.message) == (Reason.DATABASE_INCONSISTENT, True)


def test_more_files_than_ncbi_lists_are_no_harm() -> None:
    assert manifest(listing(*files(), "core_nt/core_nt.njs", ncbi_metadata=ncbi()))


def archives(**changes: object) -> dict[str, object]:
    """The older form lists tar archives, one for each volume."""
    base = "ftp://ftp.ncbi.nlm.nih.gov/blast/db"
    return ncbi(files=[f"{base}/core_nt.{n:02d}.tar.gz" for n in range(3)]) | changes


def test_archives_in_ncbis_list_are_not_expected_as_files() -> None:
    assert manifest(listing(*files(), ncbi_metadata=archives()))


def test_the_last_volume_is_missed_where_ncbi_counts_them() -> None:
    answer = refusal(listing(*files(volumes=2), ncbi_metadata=archives()))

    assert answer.reason is Reason.DATABASE_INCONSISTENT
    assert "2 volumes where its own metadata says 3" in answer.message


@pytest.mark.parametrize(
    "metadata",
    [
        {"files": "core_nt.00.nsq"},
        {"files": [None, 7, {"a": 1}]},
        {"files": [], "bytes-total": "lots", "number-of-volumes": None},
        {"bytes-total": True, "number-of-volumes": True},
        {"files": ["../../etc/passwd", "core_nt_pathogen.00.nsq"]},
    ],
)
def test_metadata_that_makes_no_sense_proves_nothing(metadata: dict[str, object]) -> None:
    assert manifest(listing(*files(), ncbi_metadata=metadata))


@pytest.mark.parametrize("version", [None, "", 7, "a\nb", "\x1b[31m"])
def test_a_source_version_that_is_no_plain_text_is_none(version: object) -> None:
    assert manifest(listing(*files(), dashboard_metadata={"source_version": version})).source_version is None


def test_a_source_version_is_kept() -> None:
    told = {"source_version": "2026-05-26-01-05-01"}

    assert manifest(listing(*files(), dashboard_metadata=told)).source_version == "2026-05-26-01-05-01"


@pytest.mark.parametrize("change", [{"bytes": 101}, {"etag": '"other"'}, {"md5": "XrY7u+Ae7tCTyyK7j1rNww=="}])
def test_any_changed_file_makes_another_generation(change: dict[str, Any]) -> None:
    first, *rest = (blob(name) for name in files())

    changed = manifest(listing(blobs=(replace(first, **change), *rest)))

    assert changed.generation != manifest(listing(*files())).generation


def test_a_generation_depends_neither_on_order_nor_on_shared_files() -> None:
    taxonomy = [f"core_nt/{name}" for name in SHARED]

    assert (
        manifest(listing(*reversed(files()), *taxonomy)).generation == manifest(listing(*files())).generation
    )


def test_too_many_files_for_a_config_map_are_refused_with_their_number() -> None:
    answer = refusal(listing(*files(volumes=2_500)))

    assert (answer.reason, "has 7506 files" in answer.message) == (Reason.DATABASE_TOO_MANY_FILES, True)


def test_core_nt_of_eighty_eight_volumes_fits() -> None:
    assert len(manifest(listing(*files(volumes=88))).to_json()) < 100_000


def test_a_release_hands_over_a_name_and_no_file() -> None:
    document = json.loads(as_remembered(Database(name="core_nt", folder="core_nt")).to_json())

    assert (document["database"], document["files"], document["bytes"]) == ("core_nt", [], 0)
    assert document["generation"] == ""


def test_the_document_has_the_keys_that_the_agent_reads() -> None:
    document = json.loads(manifest(listing(*files(), "core_nt/taxdb.btd")).to_json())

    assert {key: document[key] for key in ("schema", "database", "container", "molecule", "bytes")} == {
        "schema": 1, "database": "core_nt", "container": "blast-db", "molecule": "nucl", "bytes": 1_600,
    }  # fmt: skip
    assert document["files"][-1] == {
        "name": "taxdb.btd",
        "blob": "core_nt/taxdb.btd",
        "size": EACH,
        "etag": '"core_nt/taxdb.btd"',
        "md5": None,
        "modified": "2026-05-26T01:05:00Z",
        "shared": True,
    }


@pytest.mark.parametrize(
    ("back", "cure"), [(False, "set-tier --tier Hot"), (True, "wait until they are back")]
)
def test_files_in_the_archive_are_refused_with_the_way_out(
    back: bool,  # noqa: FBT001 - a table's column
    cure: str,
) -> None:
    blobs = tuple(blob(name, archived=True, rehydrating=back) for name in files())
    told = refusal(listing(blobs=blobs))

    assert told.reason is Reason.DATABASE_ARCHIVED
    assert cure in told.remedy


def test_an_archived_file_of_another_database_is_no_matter() -> None:
    others = blob("core_nt/core_nt_old.nsq", archived=True)

    assert manifest(listing(blobs=(*(blob(name) for name in files()), others)))
