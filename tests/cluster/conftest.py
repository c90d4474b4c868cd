from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from testkit.cluster import Asked, Cluster, running_cluster
from testkit.workloads import Clients, clients

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGES = ["*/ncbi/elb:*", "mcr.microsoft.com/oss/kubernetes/pause:*", "!private.azurecr.io/*"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster of three nodes for the whole run; each test works in a namespace of its own."""
    asked = Asked(images=IMAGES, pod_env={"NODE_ALIAS": "alias-of-{node}", "SET_BY_POD": "injected"})
    with running_cluster(tmp_path_factory.mktemp("cluster"), asked) as found:
        yield found


@pytest.fixture(scope="session")
def k8s(cluster: Cluster) -> Iterator[Clients]:
    with clients(cluster.kubeconfig) as found:
        yield found


@pytest.fixture
def namespace(k8s: Clients, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace named after the test, gone with all its pods afterwards."""
    name = f"n{abs(hash(request.node.name)) % 10**10}"
    k8s.core.create_namespace({"metadata": {"name": name}})
    yield name
    k8s.core.delete_namespace(name)
