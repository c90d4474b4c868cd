"""An azcopy that does what it likes: bounded in time, told nothing that is not its own, and named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.warm_node import wait_until

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


@pytest.mark.usefixtures("azcopy")
def test_azcopy_hears_nothing_that_is_not_its_own(node: WarmNode, server: BlobServer, tmp_path: Path) -> None:
    node.look(server.manifest("core_nt"), WARMUP_DEADLINE_SECONDS="1")

    seen = dict(line.partition("=")[::2] for line in (tmp_path / "seen").read_text().splitlines())
    assert SECRET not in seen.values()
    assert not [name for name in seen if name.startswith("WARMUP_")]
    assert {"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZCOPY_BUFFER_GB", "GOMEMLIMIT"} <= set(seen)
    assert seen["GOMAXPROCS"] == str(cores())


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
