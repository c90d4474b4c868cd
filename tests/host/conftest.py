"""Hosts for the tests: one that all share, and as many of their own as they ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from testkit.hosting import RunningHost, Starter


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    starter.end_all()


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """One host for all tests that do not harm it."""
    starter = Starter(tmp_path_factory.mktemp("host"))
    yield starter("--log-level", "error")
    starter.end_all()
