"""One stack for all end-to-end tests of a module: starting it is what costs."""

from collections.abc import Iterator

import pytest
from testkit.stack import LaptopStack, laptop_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopStack]:
    with laptop_stack(tmp_path_factory.mktemp("stack")) as up:
        yield up
