"""What `make` and the command line agree on."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("asked", "started"), [((), "-m local up"), (("CONTROL=1",), "-m local up --control")]
)
def test_only_control_1_lets_the_stack_be_made_to_fail(asked: tuple[str, ...], started: str) -> None:
    # Under `make test` this make is another's child, and would tell which folder it leaves.
    command = ["make", "--no-print-directory", "--dry-run", "up", *asked]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1].strip().endswith(started)
