"""One app of doors for all tests that do not need their own."""

import uuid
from collections.abc import Iterator

import pytest
from testkit.doors import Doors, environment, lay_out
from testkit.hosting import Starter

collect_ignore = ["app"]  # an app of its own, loaded by the host


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("doors")
    starter = Starter(folder)
    yield Doors(starter("--log-level", "error", app=lay_out(folder), env=environment(folder)), folder)
    starter.end_all()


@pytest.fixture
def doors(running: Doors) -> Iterator[Doors]:
    """The app in its usual world, which each test may change and none leaves changed."""
    running.world()
    yield running
    running.world()


@pytest.fixture
def cluster() -> str:
    """A cluster that no other test speaks of."""
    return f"c{uuid.uuid4().hex[:8]}"
