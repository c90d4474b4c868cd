"""Who may import whom: every contract is kept, and each was seen to break."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.api import read_configuration
from testkit.worker import REPOSITORY

PACKAGES = ("orchestrators", "activities", "entrypoints", "shared", "local", "agent")
LINTER = Path(sys.executable).with_name("lint-imports")
PLANTED = [
    ("orchestrators/steps.py", "import activities.roles", "Doors above stories and hands"),
    ("activities/roles.py", "import orchestrators.steps", "Doors above stories and hands"),
    ("shared/wire.py", "import entrypoints.answering", "Doors above stories and hands"),
    ("shared/domain/phases.py", "import shared.ports", "shared is layered"),
    ("shared/utils.py", '"""Odds and ends."""', "shared is layered"),
    ("orchestrators/steps.py", "import shared.settings", "Stories know the domain"),
    ("activities/roles.py", "import shared.adapters.errors", "Only function_app joins"),
    ("entrypoints/monitor.py", "import shared.adapters.errors", "Only function_app joins"),
    ("shared/domain/phases.py", "import time", "The domain does no I/O"),
    ("shared/settings.py", "import local.places", "The product does not know"),
    ("local/places.py", "import shared.wire", "The laptop stack is an outsider"),
    ("agent/pacing.py", "import shared.wire", "The agent imports nothing of ours"),
    ("shared/domain/model.py", "import shared.domain.planning", "No circles"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and the contracts, where they may be spoilt."""
    root = tmp_path_factory.mktemp("layers")
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    for package in PACKAGES:
        shutil.copytree(
            REPOSITORY / package,
            root / package,
            ignore=shutil.ignore_patterns("__pycache__", "npm", "*.json"),
        )
    return root


@pytest.fixture
def planted(copy: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The copy with one line too many."""
    name, line, _ = request.param
    file = copy / name
    before = file.read_text(encoding="utf-8") if file.exists() else None
    file.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    yield copy
    if before is None:
        file.unlink()
    else:
        file.write_text(before, encoding="utf-8")


def broken_in(root: Path) -> list[str]:
    """The contracts that are broken in a tree."""
    done = subprocess.run(
        [LINTER, "--no-cache", "--no-logo"], cwd=root, capture_output=True, text=True, check=False
    )
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return [line.removesuffix(" BROKEN") for line in done.stdout.splitlines() if line.endswith(" BROKEN")]


def test_imports_keep_their_layers() -> None:
    # In a process of its own: the linter's logging would silence every logger of this one.
    assert broken_in(REPOSITORY) == []


def test_a_copy_that_nobody_spoilt_keeps_them_too(copy: Path) -> None:
    assert broken_in(copy) == []


@pytest.mark.parametrize(
    ("planted", "contract"),
    [(plant, plant[2]) for plant in PLANTED],
    indirect=["planted"],
    ids=[f"{name}: {line}" for name, line, _ in PLANTED],
)
def test_each_contract_is_seen_to_break(planted: Path, contract: str) -> None:
    assert any(name.startswith(contract) for name in broken_in(planted))


def test_every_contract_has_a_violation_that_breaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    names = [contract["name"] for contract in read_configuration()["contracts_options"]]

    assert [name for name in names if not any(name.startswith(seen) for _, _, seen in PLANTED)] == []
