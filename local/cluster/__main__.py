"""`python -m local.cluster`: one process that is a Kubernetes cluster."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from local.cluster.nodes.images import EVERYTHING, ImageFile
from local.cluster.nodes.sandbox import SandboxError, check_sandbox
from local.cluster.serving import ClusterOptions, serve

FIRST_BACKOFF_SECONDS = 10.0
"""Kubernetes' own."""


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; the exit code."""
    try:
        options = _parse(arguments)
        check_sandbox()
    except (SandboxError, OSError, ValueError) as error:
        print(f"no cluster: {error}", file=sys.stderr)
        return 1
    asyncio.run(serve(options))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.cluster", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="state, logs and the nodes' folders")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--cert", type=Path, required=True, help="server certificate, PEM")
    parser.add_argument("--key", type=Path, required=True, help="its key, PEM")
    parser.add_argument("--ca", type=Path, required=True, help="what clients are told to trust, PEM")
    parser.add_argument("--nodes", type=int, default=3, help="nodes of a new cluster")
    parser.add_argument("--simulated-nodes", type=int, default=0, help="nodes without processes")
    parser.add_argument("--kubeconfig", type=Path, help="where to write it; default ROOT/kubeconfig")
    parser.add_argument(
        "--images", type=Path, help="JSON list of image patterns that exist, read at every pull; default all"
    )
    parser.add_argument(
        "--pod-env", type=Path, help="JSON of variables for every container; {node} is replaced"
    )
    parser.add_argument("--backoff-seconds", type=float, default=FIRST_BACKOFF_SECONDS)
    parser.add_argument(
        "--control", action="store_true", help="serve /control/ (see local/cluster/control.py)"
    )
    return parser


def _parse(arguments: list[str]) -> ClusterOptions:
    found = _parser().parse_args(arguments)
    root = found.root.resolve()
    return ClusterOptions(
        root=root,
        port=found.port,
        certificate=found.cert,
        key=found.key,
        authority=found.ca,
        nodes=found.nodes,
        simulated_nodes=found.simulated_nodes,
        kubeconfig=found.kubeconfig or root / "kubeconfig",
        images=ImageFile(found.images) if found.images else EVERYTHING,
        injected=json.loads(found.pod_env.read_text()) if found.pod_env else {},
        backoff_seconds=found.backoff_seconds,
        control=found.control,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
