"""One stack for all end-to-end tests of a module: starting it is what costs."""

import os
from collections.abc import Iterator

import pytest
from testkit.stack import LaptopStack, laptop_stack


@pytest.fixture(autouse=True)
def on_a_fitting_cluster(request: pytest.FixtureRequest) -> None:
    """On a given cluster (`STACK_CLUSTER=kubeconfig`), skip what only the embedded one can do."""
    is_given = os.environ.get("STACK_CLUSTER") == "kubeconfig"
    if is_given and request.node.get_closest_marker("embedded_cluster"):
        pytest.skip("needs the embedded cluster's control")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopStack]:
    with laptop_stack(tmp_path_factory.mktemp("stack")) as up:
        yield up
