"""The agent's engine beside public tools: same bytes, same disk, taking turns in one run; ratios only.

    PYTHONPATH=.:tests python -m bench.agent.compare --megabytes 2000 --runs 5 WORKDIR

Two sources: a plain file server that is fast enough not to be the bound, and Azurite over TLS with OAuth.
The file server's own limit is what parallel curl reads to /dev/null, the disk's what dd writes. Every way
ends with `sync`, so that nobody wins by leaving bytes in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testkit.azurite import azurite, token
from testkit.blob_server import CONTAINER, IDENTITY_HEADER, blob_server

from bench.agent.file_server import ETAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
AZCOPY = REPOSITORY / "local/npm/node_modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64"
VOLUMES = 8
CONNECTIONS = 8
MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where the bytes come from and go to."""

    source: Path
    target: Path
    manifest: Path
    endpoint: str
    environment: dict[str, str]
    curl_options: tuple[str, ...]

    def names(self) -> list[str]:
        """The files to bring."""
        return sorted(path.name for path in self.source.iterdir())

    def agent(self) -> None:
        """Our own engine."""
        command = [sys.executable, "-B", "-m", "agent"]
        environment = {
            "PATH": "/usr/bin:/bin",
            "WARMUP_BLOB_ENDPOINT": self.endpoint,
            "WARMUP_MANIFEST": str(self.manifest),
            "WARMUP_DIRECTORY": str(self.target),
            "IDENTITY_HEADER": IDENTITY_HEADER,
            **self.environment,
        }
        subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.DEVNULL)

    def azcopy(self) -> None:
        """What a script would call."""
        source = f"{self.endpoint}{CONTAINER}/db/*"
        host = self.endpoint.split("/")[2]
        command = [str(AZCOPY), "cp", source, f"{self.target}/", "--from-to", "BlobLocal"]
        environment = {
            **os.environ,
            "AZCOPY_AUTO_LOGIN_TYPE": "MSI",
            "AZCOPY_LOG_LOCATION": str(self.target.parent / "azcopy"),
            "AZCOPY_JOB_PLAN_LOCATION": str(self.target.parent / "azcopy"),
            "IDENTITY_HEADER": IDENTITY_HEADER,
            **self.environment,
        }
        trusted = ["--trusted-microsoft-suffixes", f"127.0.0.1;{host}", "--skip-version-check"]
        subprocess.run([*command, *trusted], env=environment, check=True, capture_output=True)

    def curl_to_disk(self) -> None:
        """Eight plain downloads at a time."""
        self._curl(lambda name: self.target / name)

    def curl_to_nowhere(self) -> None:
        """What the source can give."""
        self._curl(lambda _: Path(os.devnull))

    def dd(self) -> None:
        """What the disk can take."""
        for name in self.names():
            command = [
                "dd",
                f"if={self.source / name}",
                f"of={self.target / name}",
                "bs=4M",
                "conv=fdatasync",
            ]
            subprocess.run(command, check=True, capture_output=True)

    def _curl(self, target: Callable[[str], Path]) -> None:
        pairs = [
            part
            for name in self.names()
            for part in ("-o", str(target(name)), f"{self.endpoint}{CONTAINER}/db/{name}")
        ]
        options = [
            "--silent",
            "--fail",
            "--parallel",
            "--no-progress-meter",
            "--parallel-max",
            str(CONNECTIONS),
            *self.curl_options,
        ]
        subprocess.run(["curl", *options, *pairs], check=True)


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    source = options.workdir / "source"
    _make_source(source, options.megabytes)
    try:
        with _file_server(options.workdir, source) as bench:
            _report(
                "plain file server",
                _take_turns(bench, ["agent", "curl_to_disk", "curl_to_nowhere", "dd"], options.runs),
            )
        with _azurite(options.workdir, source) as bench:
            _report(
                "Azurite, TLS, OAuth",
                _take_turns(bench, ["agent", "azcopy", "curl_to_disk", "dd"], options.runs),
            )
    finally:
        shutil.rmtree(source)
        shutil.rmtree(options.workdir / "target", ignore_errors=True)


def _make_source(folder: Path, megabytes: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(1)  # noqa: S311 - bytes that do not compress
    for volume in range(VOLUMES):
        with (folder / f"db.{volume:02}.nsq").open("wb") as stream:
            for _ in range(megabytes // VOLUMES):
                stream.write(chance.randbytes(MEGABYTE))


@contextmanager
def _file_server(workdir: Path, source: Path) -> Iterator[Bench]:
    command = [sys.executable, "-m", "bench.agent.file_server", str(source)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        endpoint = f"http://127.0.0.1:{process.stdout.readline().strip()}/"
        files = [_entry(path, ETAG) for path in sorted(source.iterdir())]
        try:
            yield Bench(
                source=source,
                target=workdir / "target",
                manifest=_manifest(workdir, files),
                endpoint=endpoint,
                environment={"IDENTITY_ENDPOINT": f"{endpoint}msi"},
                curl_options=(),
            )
        finally:
            process.terminate()


@contextmanager
def _azurite(workdir: Path, source: Path) -> Iterator[Bench]:
    with blob_server() as identity, azurite(workdir) as account:
        identity.accepted_token = token()
        files = [account.put(f"db/{path.name}", path.read_bytes()) for path in sorted(source.iterdir())]
        yield Bench(
            source=source,
            target=workdir / "target",
            manifest=_manifest(workdir, [{**file, "md5": None} for file in files]),
            endpoint=account.endpoint,
            environment={
                "IDENTITY_ENDPOINT": identity.identity_endpoint,
                "SSL_CERT_FILE": str(account.certificate),
            },
            curl_options=(
                *("--cacert", str(account.certificate)),
                *("-H", f"Authorization: Bearer {identity.accepted_token}", "-H", "x-ms-version: 2021-12-02"),
            ),
        )
    shutil.rmtree(workdir / "azurite")


def _entry(path: Path, etag: str) -> dict[str, Any]:
    return {
        "name": path.name,
        "blob": f"db/{path.name}",
        "size": path.stat().st_size,
        "etag": etag,
        "md5": None,
        "modified": "2026-05-26T01:05:01Z",
    }


def _manifest(workdir: Path, files: list[dict[str, Any]]) -> Path:
    path = workdir / "manifest.json"
    document = {"schema": 1, "database": "db", "container": CONTAINER, "generation": "g", "molecule": "nucl"}
    path.write_text(json.dumps({**document, "bytes": sum(file["size"] for file in files), "files": files}))
    return path


def _take_turns(bench: Bench, ways: list[str], runs: int) -> dict[str, list[float]]:
    """Seconds per way; in turns, so that a slow minute of the machine hits all of them."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        for way in ways:
            shutil.rmtree(bench.target, ignore_errors=True)
            bench.target.mkdir(parents=True)
            os.sync()
            began = time.monotonic()
            getattr(bench, way)()
            os.sync()
            seconds[way].append(time.monotonic() - began)
    return seconds


def _report(source: str, seconds: dict[str, list[float]]) -> None:
    print(f"\n{source}: speed of the agent ÷ speed of …, per run: median (least to most)")
    for way, times in seconds.items():
        if way == "agent":
            continue
        ratios = [other / own for own, other in zip(seconds["agent"], times, strict=True)]
        print(f"  {way:16} {statistics.median(ratios):5.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
