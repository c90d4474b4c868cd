"""Both engines against Azurite over TLS with a bearer token, as on a node in Azure."""

from __future__ import annotations

import random
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testkit.azurite import Azurite, azurite, token
from testkit.blob_server import CONTAINER
from testkit.counting_proxy import counting_proxy
from testkit.warm_node import Outcome, kill, wait_until

from agent.surveying import stat_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testkit.blob_server import BlobServer
    from testkit.warm_node import WarmNode

pytestmark = pytest.mark.stack
AZCOPY = Path(__file__).parents[2] / "local/npm/node_modules/@azure-tools/azcopy-linux/dist/bin"
VOLUME_BYTES = 20_000_000
DISK_BYTES = 70_000_000


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture(scope="module")
def source() -> dict[str, bytes]:
    chance = random.Random(1)  # noqa: S311 - the same bytes every time
    small = {f"nt.{number:02}.nin": chance.randbytes(50_000) for number in range(3)}
    large = {f"nt.{number:02}.nsq": chance.randbytes(VOLUME_BYTES) for number in range(3)}
    return {**small, **large, "nt.nto": b""}


@pytest.fixture(scope="module")
def manifest(account: Azurite, source: dict[str, bytes]) -> dict[str, Any]:
    files = [account.put(f"nt/{name}", content) for name, content in source.items()]
    return {
        "schema": 1,
        "database": "nt",
        "container": CONTAINER,
        "source_version": None,
        "generation": "first",
        "molecule": "nucl",
        "bytes": sum(file["size"] for file in files),
        "files": files,
    }


@pytest.fixture
def node_of_account(node: WarmNode, server: BlobServer, account: Azurite, tmp_path: Path) -> WarmNode:
    server.accepted_token = token()
    program = tmp_path / "bin" / "azcopy"
    program.parent.mkdir()
    program.symlink_to(AZCOPY / "azcopy_linux_amd64")
    node.environment = {
        "WARMUP_BLOB_ENDPOINT": account.endpoint,
        "SSL_CERT_FILE": str(account.certificate),
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    return node


@pytest.mark.parametrize("engine", ["ranged", "azcopy"])
def test_every_byte_arrives_and_a_second_look_fetches_none(
    node_of_account: WarmNode, manifest: dict[str, Any], source: dict[str, bytes], engine: str
) -> None:
    first = node_of_account.look(manifest, WARMUP_ENGINE=engine)
    second = node_of_account.look(manifest, WARMUP_ENGINE=engine)

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert node_of_account.files() == source
    assert first.last["bytes_fetched"] == manifest["bytes"]
    assert second.last["bytes_fetched"] == 0
    assert first.last["engine"].startswith(engine)


def test_both_engines_bring_the_same_digest(node_of_account: WarmNode, manifest: dict[str, Any]) -> None:
    digests = set()
    for engine in ("ranged", "azcopy"):
        digests.add(node_of_account.look(manifest, WARMUP_ENGINE=engine).last["digest"])
        node_of_account.look(manifest, "--release")

    assert len(digests) == 1


def test_an_engine_takes_over_where_the_other_was_killed(
    node_of_account: WarmNode, manifest: dict[str, Any], source: dict[str, bytes]
) -> None:
    staging = node_of_account.private("nt") / "staging"
    process = node_of_account.start(manifest, WARMUP_MAX_MBPS="20")
    wait_until(lambda: staging.is_dir() and any(staging.iterdir()))
    kill(process)

    outcome = node_of_account.look(manifest, WARMUP_ENGINE="azcopy")

    assert outcome.exit_code == 0
    assert node_of_account.files() == source


@pytest.mark.parametrize("engine", ["ranged", "azcopy"])
def test_a_ceiling_is_not_exceeded_over_ten_seconds(
    node_of_account: WarmNode,
    account: Azurite,
    manifest: dict[str, Any],
    source: dict[str, bytes],
    engine: str,
) -> None:
    small = {file["name"]: file for file in manifest["files"]}["nt.00.nsq"]
    one = {**manifest, "bytes": small["size"], "files": [small]}
    with counting_proxy(account.port) as proxy:
        endpoint = account.endpoint.replace(str(account.port), str(proxy.port))
        outcome = node_of_account.look(
            one, WARMUP_ENGINE=engine, WARMUP_MAX_MBPS="1.5", WARMUP_BLOB_ENDPOINT=endpoint
        )

    assert outcome.exit_code == 0
    assert node_of_account.files() == {"nt.00.nsq": source["nt.00.nsq"]}
    assert proxy.most_within(10) <= 10 * 1_500_000


def test_what_a_killed_azcopy_left_is_never_taken_for_whole(
    node_of_account: WarmNode, manifest: dict[str, Any], source: dict[str, bytes]
) -> None:
    files = [{**file, "md5": None} for file in manifest["files"]]
    manifest = {**manifest, "files": files}
    # As if a pod had been told so for an azcopy of its own.
    node_of_account.environment |= {"WARMUP_ENGINE": "azcopy", "AZCOPY_DOWNLOAD_TO_TEMP_PATH": "false"}
    staging = node_of_account.private("nt") / "staging"
    process = node_of_account.start(manifest, WARMUP_MAX_MBPS="12")
    wait_until(lambda: staging.is_dir() and any(file_is_begun(entry) for entry in staging.iterdir()))
    kill(process)

    outcome = node_of_account.look(manifest)

    assert outcome.exit_code == 0
    assert node_of_account.files() == source


def file_is_begun(path: Path) -> bool:
    """Azcopy takes the room for a file before it fetches it."""
    found = stat_of(path)
    return bool(path.name.endswith(".nsq") and found and found.st_size == VOLUME_BYTES)


def test_an_azcopy_that_names_files_before_they_are_whole_is_refused(
    node_of_account: WarmNode, manifest: dict[str, Any], tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "azcopy"
    program.unlink()
    program.write_text("#!/bin/sh\necho azcopy version 10.9.0\n")
    program.chmod(0o755)

    outcome = node_of_account.look(manifest, WARMUP_ENGINE="azcopy")

    assert outcome.exit_code == 1
    assert "azcopy version 10.9.0 is too old" in outcome.error["message"]


def test_a_certificate_of_nobody_known_ends_the_look_at_once(
    node_of_account: WarmNode, manifest: dict[str, Any]
) -> None:
    outcome = node_of_account.look(manifest, SSL_CERT_FILE="")

    assert (outcome.exit_code, outcome.error["kind"]) == (24, "network")
    assert "SSL_CERT_FILE" in outcome.error["remedy"]


@pytest.fixture
def small_disk(node_of_account: WarmNode) -> Iterator[Path]:
    """A file system that the database fits on, as long as nobody else writes to it."""
    blast = node_of_account.blast
    blast.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", blast], check=True)
    yield blast
    subprocess.run(["umount", "--lazy", blast], check=True)


def test_a_disk_that_fills_up_under_azcopy_is_named_and_given_back(
    node_of_account: WarmNode, manifest: dict[str, Any], small_disk: Path
) -> None:
    staging = node_of_account.private("nt") / "staging"
    process = node_of_account.start(manifest, WARMUP_ENGINE="azcopy", WARMUP_MAX_MBPS="12")
    wait_until(lambda: staging.is_dir() and any(staging.iterdir()))

    fill(small_disk / "greedy")
    output, _ = process.communicate()

    outcome = Outcome(exit_code=process.returncode, output=output)
    assert (outcome.exit_code, outcome.error["kind"]) == (11, "disk_full")
    assert not list(staging.iterdir())


def fill(file: Path) -> None:
    """Take all the room there is."""
    with suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(b"\1" * 65536):
            pass


def test_azcopy_that_is_not_there_is_said(node_of_account: WarmNode, manifest: dict[str, Any]) -> None:
    outcome = node_of_account.look(manifest, WARMUP_ENGINE="azcopy", PATH="/usr/bin:/bin")

    assert outcome.exit_code == 1
    assert "azcopy is not installed" in outcome.error["message"]
