"""What is deployed: the files, and what they need. `UPDATE_GOLDEN=1` writes the list of files anew."""

import ast
import importlib.metadata
import os
import re
import subprocess
from pathlib import PurePosixPath

import pathspec
import pytest
from testkit.worker import REPOSITORY

GOLDEN = REPOSITORY / "tests" / "golden" / "package.txt"
NAMESPACES = {"azure", "azure.mgmt"}  # shared by many distributions
# The platform's worker imports it by itself, once it is told to export: see `test_exported_metrics`.
THE_WORKERS_OWN = {"azure-monitor-opentelemetry"}
REQUIREMENTS = [
    re.split(r"[\[=]", line, maxsplit=1)[0]
    for line in (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def deployed() -> list[str]:
    """The tracked files that `.funcignore` lets through."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    ignored = pathspec.GitIgnoreSpec.from_lines(
        (REPOSITORY / ".funcignore").read_text(encoding="utf-8").splitlines()
    )
    return sorted(name for name in listed.stdout.splitlines() if not ignored.match_file(name))


def test_the_package_holds_the_golden_list_of_files() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text("\n".join(deployed()) + "\n", encoding="utf-8")

    assert deployed() == GOLDEN.read_text(encoding="utf-8").splitlines()


def test_the_package_holds_what_the_platform_needs_and_nothing_of_the_laptops() -> None:
    names = deployed()

    assert {"function_app.py", "host.json", "requirements.txt", "agent/__main__.py"} <= set(names)
    assert {PurePosixPath(name).parts[0] for name in names} & {
        "local",
        "tests",
        "bench",
        "deploy",
        "docs",
    } == set()
    assert [name for name in names if "settings" in name and name.endswith(".json")] == []


@pytest.mark.parametrize("distribution", sorted({*REQUIREMENTS} - THE_WORKERS_OWN))
def test_every_requirement_is_imported_by_what_is_deployed(distribution: str) -> None:
    provided = packages_of(distribution)

    assert provided
    assert [name for name in imports() if any(name == p or name.startswith(f"{p}.") for p in provided)]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-worker.txt"])
def test_every_requirement_is_pinned_exactly(name: str) -> None:
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    loose = [line for line in lines if line and not re.match(r"#|-r |[\w.\-\[\]]+==[\w.]+(\s+#|$)", line)]

    assert loose == []


def packages_of(distribution: str) -> set[str]:
    """The packages that a distribution brings, by their full names."""
    files = importlib.metadata.files(distribution) or []
    folders = {".".join(file.parts[:-1]) for file in files if file.name == "__init__.py"}
    return folders - NAMESPACES


def imports() -> set[str]:
    """Everything that the deployed modules import."""
    trees = [
        ast.parse((REPOSITORY / name).read_text(encoding="utf-8"))
        for name in deployed()
        if name.endswith(".py")
    ]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {
        node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
