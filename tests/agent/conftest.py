"""A blob server with a small database, and a node to warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from testkit.blob_server import BlobServer, blob_server
from testkit.sample_database import put_database
from testkit.warm_node import WarmNode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[BlobServer]:
    with blob_server() as served:
        put_database(served, "core_nt")
        yield served


@pytest.fixture
def node(tmp_path: Path, server: BlobServer) -> WarmNode:
    return WarmNode(folder=tmp_path, server=server)
