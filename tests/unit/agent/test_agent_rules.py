"""The agent runs on Python 3.10 with nothing but its standard library, and fits into a ConfigMap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from shared.domain.staging import MAX_MANIFEST_BYTES

AGENT = Path(__file__).parents[3] / "agent"
MODULES = sorted(AGENT.glob("*.py"))
CONFIG_MAP_BYTES = 1 << 20
BUNDLE_BYTES = 250_000  # every authority that a Linux distribution trusts
MOST_LINES_OF_AZCOPY = 150
# What a ConfigMap leaves beside the largest manifest and a bundle of certificates.
MOST_BYTES = CONFIG_MAP_BYTES - MAX_MANIFEST_BYTES - BUNDLE_BYTES


def test_the_lowest_python_is_3_10() -> None:
    program = Path(sys.executable).with_name("vermin")
    subprocess.run([program, "-t=3.10-", "--no-tips", AGENT], check=True, capture_output=True)


def test_nothing_but_the_standard_library_is_imported() -> None:
    imported = {
        name.split(".")[0]
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        for name in _names(node)
    }

    assert imported <= sys.stdlib_module_names


def test_all_modules_fit_into_a_configmap() -> None:
    assert sum(module.stat().st_size for module in MODULES) < MOST_BYTES


def test_the_engine_of_others_stays_small() -> None:
    assert len((AGENT / "azcopy.py").read_text().splitlines()) <= MOST_LINES_OF_AZCOPY


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        return [node.module]
    return []
