"""The ways to bring a database onto a node: the agent, and what public tools do."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from testkit.blob_server import CONTAINER, IDENTITY_HEADER

from agent.crew import crew_size
from agent.ranged import MOST_CONNECTIONS
from bench.agent.measuring import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.agent.sources import Source

REPOSITORY = Path(__file__).parents[2]
AZCOPY = REPOSITORY / "local/npm/node_modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64"
# As many as the agent has on this machine.
CONNECTIONS = crew_size(MOST_CONNECTIONS).workers
PATH = "/usr/bin:/bin"


def agent(source: Source, node: Path) -> Program:
    """As in the pod: one process per node, in a folder of its own."""
    return Program(
        command=[sys.executable, "-B", "-m", "agent"],
        environment={
            "PATH": PATH,
            "PYTHONPATH": str(REPOSITORY),
            "WARMUP_BLOB_ENDPOINT": source.endpoint,
            "WARMUP_MANIFEST": str(source.manifest),
            "WARMUP_DIRECTORY": str(node),
            "IDENTITY_HEADER": IDENTITY_HEADER,
            **source.environment,
        },
        folder=node,
    )


def azcopy(source: Source, node: Path) -> Program:
    """What a script would call, with its own choice of connections."""
    private = node.parent / f"{node.name}.azcopy"
    url = f"{source.endpoint}{CONTAINER}/db/*{source.azcopy_query}"
    host = source.origin.partition("//")[2]
    trusted = ["--trusted-microsoft-suffixes", f"127.0.0.1;{host}", "--skip-version-check"]
    return Program(
        command=[str(AZCOPY), "cp", url, f"{node}/", "--from-to", "BlobLocal", *trusted],
        environment={
            "PATH": PATH,
            "HOME": str(private),
            **({} if source.azcopy_query else {"AZCOPY_AUTO_LOGIN_TYPE": "MSI"}),
            "AZCOPY_LOG_LOCATION": str(private),
            "AZCOPY_JOB_PLAN_LOCATION": str(private),
            "IDENTITY_HEADER": IDENTITY_HEADER,
            **source.environment,
        },
        folder=node,
    )


def curl(source: Source, node: Path) -> Program:
    """What the source can give: to nowhere."""
    return _curl(source, node, lambda _: os.devnull)


def dd(source: Source, node: Path) -> Program:
    """What the disk can take."""
    copies = [f"dd if={source.folder / name} of={name} bs=4M conv=fdatasync" for name in source.names]
    return _shell(node, " && ".join(copies))


def retired(source: Source, node: Path) -> Program:
    """Into the container's own layer, then across into the node's folder."""
    download = " ".join(_curl(source, node, lambda name: f"layer/{name}").command)
    return _shell(node, f"mkdir layer && {download} && sync && cp layer/* . && sync && rm -r layer")


def _curl(source: Source, node: Path, target: Callable[[str], str]) -> Program:
    pairs = [
        part
        for name in source.names
        for part in ("-o", target(name), f"{source.endpoint}{CONTAINER}/db/{name}")
    ]
    options = ["--silent", "--fail", "--parallel", "--no-progress-meter", "--parallel-max", str(CONNECTIONS)]
    command = ["curl", *options, *source.curl_options, *pairs]
    return Program(command=command, environment={"PATH": PATH}, folder=node)


def _shell(node: Path, script: str) -> Program:
    return Program(command=["sh", "-c", f"({script}) 2>&1"], environment={"PATH": PATH}, folder=node)


WAYS = {way.__name__: way for way in (agent, azcopy, curl, dd, retired)}
