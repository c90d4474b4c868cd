"""Databases made from the packaged data, and staged into a real blob server as NCBI lays them out."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from testkit.azure import laptop_azure

from local import azurite
from local.databases import RECIPES, DatabaseError, prepare
from local.staging import BlobServer, describe, stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure.storage.blob import ContainerClient
    from testkit.azure import LaptopAzure

SMALL = tuple(recipe for recipe in RECIPES if recipe.name != "rrna16s")
SHARED = {"taxdb.btd", "taxdb.bti", "taxonomy4blast.sqlite3"}


def quietly(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepare(folder, quietly, SMALL)
    return folder


def blastdbcmd(database: Path, *arguments: str) -> str:
    command = ["blastdbcmd", "-db", str(database), *arguments]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env={"BLASTDB": str(database.parent)}
    ).stdout


def test_blast_reads_what_was_made(data: Path) -> None:
    archaea = describe(data / "rrna16s_archaea", "rrna16s_archaea")
    proteins = describe(data / "rrna16s_frame1", "rrna16s_frame1")

    assert (archaea.molecule, archaea.volumes, archaea.sequences) == ("nucl", 1, 6788)
    assert (proteins.molecule, proteins.volumes, proteins.sequences) == ("prot", 3, 6788)
    assert {file.name for file in archaea.files} >= SHARED
    assert (data / "rrna16s_frame1/rrna16s_frame1.pal").exists()


def test_blast_finds_the_names_of_the_taxa(data: Path) -> None:
    names = blastdbcmd(data / "rrna16s_archaea/rrna16s_archaea", "-entry", "all", "-outfmt", "%T %S %K")

    # This version of BLAST ends each line twice.
    assert set(names.splitlines()) - {""} == {"2157 Archaea Archaea"}


def test_what_is_complete_is_not_made_again_and_a_half_made_one_is(data: Path) -> None:
    first, second = (data / recipe.name / ".recipe" for recipe in SMALL)
    made = second.stat().st_mtime_ns
    first.unlink()

    prepare(data, quietly, SMALL)
    assert first.exists()
    assert second.stat().st_mtime_ns == made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobServer]:
    with laptop_azure(tmp_path_factory.mktemp("azure")) as azure:
        yield of(azure)


def of(azure: LaptopAzure) -> BlobServer:
    return BlobServer(
        endpoint=azure.azurite.endpoint,
        account="warmdata",
        key=azurite.account_keys(azure.azurite)["warmdata"],
        authority=azure.ca,
    )


@pytest.fixture
def container(server: BlobServer) -> Iterator[ContainerClient]:
    with server.client() as account:
        yield account.get_container_client("blast-db")


def test_a_staged_database_lies_as_ncbi_lays_it_out(
    data: Path, server: BlobServer, container: ContainerClient
) -> None:
    description = stage(server, data / "rrna16s_frame1", "rrna16s_frame1", quietly)

    blobs = {blob.name: blob.size for blob in container.list_blobs(name_starts_with="rrna16s_frame1")}
    metadata = json.loads(container.download_blob("rrna16s_frame1-metadata.json").readall())
    from_ncbi = json.loads(
        container.download_blob("rrna16s_frame1/rrna16s_frame1-prot-metadata.json").readall()
    )
    in_folder = {f"rrna16s_frame1/{file.name}": file.stat().st_size for file in description.files}
    assert in_folder.items() <= blobs.items()
    assert metadata["copy_status"]["phase"] == "completed"
    assert metadata["total_bytes"] == sum(in_folder.values())
    assert from_ncbi["number-of-volumes"] == 3
    assert len(from_ncbi["files"]) == len(in_folder) - len(SHARED)
    assert ".recipe" not in " ".join(blobs)


def test_staging_again_uploads_only_what_differs(
    data: Path, server: BlobServer, container: ContainerClient
) -> None:
    name = "rrna16s_archaea"
    stage(server, data / name, name, quietly)
    before = {blob.name: blob.last_modified for blob in container.list_blobs(name_starts_with=f"{name}/")}
    container.upload_blob(f"{name}/{name}.nsq", b"cut", overwrite=True)
    stage(server, data / name, name, quietly)

    after = {blob.name: blob for blob in container.list_blobs(name_starts_with=f"{name}/")}
    assert after[f"{name}/{name}.nsq"].size == (data / name / f"{name}.nsq").stat().st_size
    assert after[f"{name}/{name}.nhr"].last_modified == before[f"{name}/{name}.nhr"]


def test_a_folder_without_the_database_is_refused(data: Path) -> None:
    with pytest.raises(DatabaseError, match="holds no BLAST database named 'rrna'"):
        describe(data / "rrna16s_archaea", "rrna")


def test_a_database_that_blast_cannot_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.nsq").write_bytes(b"")

    with pytest.raises(DatabaseError, match="BLAST cannot read"):
        describe(tmp_path, "broken")
