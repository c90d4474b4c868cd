"""An azcopy that does what it likes: bounded in time, told nothing that is not its own, and named."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.sample_database import contents, put_database
from testkit.warm_node import Outcome, kill, wait_until

from agent.crew import cores

if TYPE_CHECKING:
    from testkit.blob_server import BlobServer
    from testkit.warm_node import WarmNode

SECRET = "not-for-children"
VERSIONED = 'if [ "$1" = --version ]; then echo azcopy version 10.99.9; exit; fi'


@pytest.fixture
def azcopy(node: WarmNode, tmp_path: Path) -> Path:
    """A script on the PATH that hangs after having noted its environment and its process."""
    program = tmp_path / "bin" / "azcopy"
    program.parent.mkdir()
    script = f"{VERSIONED}\nenv > {tmp_path}/seen\necho $$ > {tmp_path}/pid\nsleep 600\n"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    node.environment = {"PATH": path, "WARMUP_ENGINE": "azcopy", "SOMEBODYS_KEY": SECRET}
    return program


@pytest.mark.usefixtures("azcopy")
def test_an_azcopy_that_hangs_ends_with_the_deadline_and_its_version_is_reported(
    node: WarmNode, server: BlobServer, tmp_path: Path
) -> None:
    outcome = node.look(server.manifest("core_nt"), WARMUP_DEADLINE_SECONDS="1")

    assert (outcome.exit_code, outcome.error["kind"]) == (17, "deadline")
    assert {report["engine"] for report in outcome.reports} == {"azcopy version 10.99.9"}
    pid = (tmp_path / "pid").read_text().strip()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_whoever_stops_the_agent_before_it_looks_hears_so(
    node: WarmNode, server: BlobServer, azcopy: Path, tmp_path: Path
) -> None:
    azcopy.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 5\n")  # asked for its version
    process = node.start(server.manifest("core_nt"))
    wait_until((tmp_path / "pid").exists)

    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()

    outcome = Outcome(exit_code=process.returncode, output=output)
    assert (outcome.exit_code, outcome.error["kind"]) == (19, "interrupted")
    assert json.loads(node.termination_log.read_text()) == outcome.last


@pytest.mark.usefixtures("azcopy")
def test_azcopy_hears_nothing_that_is_not_its_own(node: WarmNode, server: BlobServer, tmp_path: Path) -> None:
    node.look(server.manifest("core_nt"), WARMUP_DEADLINE_SECONDS="1")

    seen = dict(line.partition("=")[::2] for line in (tmp_path / "seen").read_text().splitlines())
    assert SECRET not in seen.values()
    assert not [name for name in seen if name.startswith("WARMUP_")]
    assert {"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZCOPY_BUFFER_GB", "GOMEMLIMIT"} <= set(seen)
    assert seen["GOMAXPROCS"] == str(cores())


@pytest.fixture
def copier(azcopy: Path, server: BlobServer, tmp_path: Path) -> Path:
    """A script that brings what it is asked for, and notes what that was; it hangs at the file in `stuck`."""
    source = tmp_path / "source"
    source.mkdir()
    for name, blob in server.blobs.items():
        (source / name.rpartition("/")[2]).write_bytes(blob.content)
    azcopy.write_text(
        f"""#!/bin/sh
{VERSIONED}
echo "$5" >> {tmp_path}/asked
echo begins >> {tmp_path}/turns
IFS=';'
for name in $5; do
  [ "$name" = "$(cat {tmp_path}/stuck)" ] && sleep 600
  cp {source}/"$name" "$3"/.part && mv "$3"/.part "$3$name"
done
sleep 0.5
echo ends >> {tmp_path}/turns
"""
    )
    (tmp_path / "stuck").touch()
    return azcopy


@pytest.mark.usefixtures("copier")
def test_what_arrived_before_azcopy_was_killed_is_not_asked_for_again(
    node: WarmNode, server: BlobServer, tmp_path: Path
) -> None:
    (tmp_path / "stuck").write_text("core_nt.01.nsq")
    note = node.private("core_nt") / "ledgers" / "core_nt.00.nsq"
    process = node.start(server.manifest("core_nt"))
    wait_until(note.exists)
    kill(process)
    (tmp_path / "stuck").write_text("")

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    first, second = (set(line.split(";")) for line in (tmp_path / "asked").read_text().splitlines())
    arrived = first - second
    assert "core_nt.00.nsq" in arrived
    sizes = {file["name"]: file["size"] for file in server.manifest("core_nt")["files"]}
    assert outcome.last["bytes_fetched"] == sum(sizes[name] for name in second)


@pytest.mark.usefixtures("copier")
def test_under_a_ceiling_one_azcopy_runs_at_a_time(
    node: WarmNode, server: BlobServer, tmp_path: Path
) -> None:
    put_database(server, "nt", volumes=1)
    for name, blob in server.blobs.items():
        (tmp_path / "source" / name.rpartition("/")[2]).write_bytes(blob.content)
    looks = [node.start(server.manifest(name), WARMUP_MAX_MBPS="100") for name in ("core_nt", "nt")]

    for look in looks:
        look.communicate(timeout=60)

    assert [look.returncode for look in looks] == [0, 0]
    assert (tmp_path / "turns").read_text().split() == ["begins", "ends"] * 2


def test_a_version_that_never_comes_hinders_nobody(node: WarmNode, server: BlobServer, azcopy: Path) -> None:
    azcopy.write_text("#!/bin/sh\nexit 3\n")

    outcome = node.look(server.manifest("core_nt"), "--check")

    assert (outcome.exit_code, outcome.error["kind"]) == (16, "damaged")
    assert outcome.last["engine"] == "azcopy of unknown version"


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("50000 100000", 1), ("100000 100000", 1), ("150000 100000", 2), ("max 100000", None), ("", None)],
)
def test_a_limit_in_cpus_is_a_limit_in_cores(tmp_path: Path, quota: str, expected: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    present = len(os.sched_getaffinity(0))

    assert cores(tmp_path / "cpu.max") == min(present, expected or present)
    assert cores(tmp_path / "nothing") == present
