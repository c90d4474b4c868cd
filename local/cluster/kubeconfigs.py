"""The file that tells clients where the cluster is, whom to trust and who they are."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import yaml

from local.cluster.access import write_private

if TYPE_CHECKING:
    from pathlib import Path

CLUSTER_NAME = "laptop"


def write_kubeconfig(file: Path, *, url: str, token: str, authority: Path) -> None:
    """Write a kubeconfig with one cluster, one user and one context."""
    trusted = base64.b64encode(authority.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": CLUSTER_NAME, "cluster": {"server": url, "certificate-authority-data": trusted}}
        ],
        "users": [{"name": CLUSTER_NAME, "user": {"token": token}}],
        "contexts": [{"name": CLUSTER_NAME, "context": {"cluster": CLUSTER_NAME, "user": CLUSTER_NAME}}],
        "current-context": CLUSTER_NAME,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, yaml.safe_dump(config))
