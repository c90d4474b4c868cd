"""The agent beside public tools: three nodes at once, same bytes, same disk, taking turns in one run.

    PYTHONPATH=.:tests python -m bench.agent.compare --megabytes 2000 --rounds 5 WORKDIR

Each source is a file server that is fast enough not to be the bound, without TLS (by sendfile) and with it,
or Azurite. The source's own limit is what curl reads to /dev/null over as many connections as the agent has,
the disk's what dd writes; the retired way is a download beside the target and a copy into it. Every way
brings the same bytes to three folders at once and ends with `sync`, so that nobody wins by leaving bytes in
memory. Figures are ratios within a round: median (least to most).

Source and nodes share this machine's cores. What these allow at best is told beside: a byte is served,
received (and decrypted), digested and written, and each of that is measured in the same round: serving and
receiving as the time of server and curl, writing as that of dd, digesting by itself.

No node in Azure is bound by its cores like that: its disk or its wire is slower. `--wire` puts one between
that is as fast for the cores of this machine as a node's is for its own. A disk like a node's is one under
WORKDIR: for an E16s_v5's 150 MB/s a loop device, its writing limited by blkio (as root):

    fallocate --length 16G disk.img && losetup --direct-io=on /dev/loop0 disk.img && mkfs.ext4 /dev/loop0
    mount /dev/loop0 WORKDIR
    echo 7:0 150000000 > /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent.blobs import CHUNK_BYTES
from bench.agent.measuring import Usage, measured
from bench.agent.sources import Source, azurite_source, file_source, make_database
from bench.agent.ways import WAYS, agent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NODES = 3
MEBIBYTE = 1024 * 1024
FAULTS = 0.1
SMALL_FILES = 1000
LOOKS = 5
# An E16s_v5 has 12.5 Gbit/s and 16 cores; its disk, and that of every other size, takes less than its wire.
WIRE_BYTES_PER_SECOND_OF_A_CORE = 12.5e9 / 8 / 16
# Enough for a tenth of a second.
DIGESTED_BYTES = 256 * MEBIBYTE

Rounds = dict[str, list[Usage]]


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wire", action="store_true", help="behind a wire as fast per core as a node's")
    parser.add_argument("--azurite", action="store_true", help="also from Azurite, which is slow")
    options = parser.parse_args()
    # An orderly exit takes all that was started along, and removes what was written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder, target = options.workdir / "source", options.workdir / "nodes"
    wire = WIRE_BYTES_PER_SECOND_OF_A_CORE * len(os.sched_getaffinity(0)) if options.wire else None
    make_database(folder, megabytes=options.megabytes)
    try:
        for tls in (False, True):
            with file_source(options.workdir, folder, tls=tls, bytes_per_second=wire) as source:
                _tell(source, _take_turns(source, target, options.rounds))
            with file_source(options.workdir, folder, tls=tls, faults=FAULTS) as source:
                _tell_faults(source, target)
        with file_source(options.workdir, folder) as source:
            _tell_retired(source, target)
        if options.azurite:
            with azurite_source(options.workdir, folder) as source:
                _tell(source, _take_turns(source, target, options.rounds))
        _tell_looks(options.workdir, target)
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(target, ignore_errors=True)


def _nodes(target: Path) -> list[Path]:
    return [target / f"node{number}" for number in range(NODES)]


def _take_turns(source: Source, target: Path, rounds: int) -> Rounds:
    """In turns, so that a slow minute of the machine hits all ways."""
    found: Rounds = defaultdict(list)
    for _ in range(rounds):
        for way in ("agent", "azcopy", "curl", "dd"):
            programs = [WAYS[way](source, node) for node in _nodes(target)]
            found[way].append(measured(programs, source.server))
            shutil.rmtree(target)
    return found


def _tell(source: Source, found: Rounds) -> None:
    size = NODES * source.total_bytes
    print(f"\n{source.name}: {NODES} nodes, each {source.total_bytes / 1e6:.0f} MB at once")
    rates = {way: [size / usage.seconds for usage in usages] for way, usages in found.items()}
    for way, values in rates.items():
        _line(f"{way}, MB/s", [value / 1e6 for value in values])
    limits = [min(pair) for pair in zip(rates["curl"], rates["dd"], strict=True)]
    own = rates["agent"]
    _line("speed ÷ azcopy (≥ 1.2)", _ratios(own, rates["azcopy"]))
    _line("speed ÷ min(disk, source) (≥ 0.9)", _ratios(own, limits))
    _tell_room("agent", found["agent"], size, limit=" (≤ 1.02)")
    _line(
        "peak memory of one agent, MiB (≤ 512)",
        [usage.peak_memory_bytes / MEBIBYTE for usage in found["agent"]],
    )
    if source.server:
        _tell_cores(found, size / 1e9)


def _tell_room(way: str, usages: Sequence[Usage], size: int, limit: str = "") -> None:
    _line(f"{way}: written ÷ database{limit}", [usage.written_bytes / size for usage in usages])
    _line(f"{way}: peak space ÷ database{limit}", [usage.peak_space_bytes / size for usage in usages])


def _tell_cores(found: Rounds, gigabytes: float) -> None:
    """What the cores allow at best, in the same rounds; and what each way asks of them."""
    cores, digesting = len(os.sched_getaffinity(0)), _digesting_seconds()
    for way, usages in found.items():
        _line(f"{way}: CPU seconds per GB", [usage.cpu_seconds / gigabytes for usage in usages])
    serving = [usage.server_cpu_seconds / gigabytes for usage in found["curl"]]
    _line("serving: CPU seconds per GB", serving)
    _line("digesting: CPU seconds per GB", [digesting])
    moving = [
        (reading.cpu_seconds + writing.cpu_seconds) / gigabytes
        for reading, writing in zip(found["curl"], found["dd"], strict=True)
    ]
    bounds = [cores / (serve + move + digesting) for serve, move in zip(serving, moving, strict=True)]
    _line(f"bound by {cores} cores, MB/s", [bound * 1e3 for bound in bounds])
    rates = [gigabytes / usage.seconds for usage in found["agent"]]
    _line("speed ÷ bound by cores", _ratios(rates, bounds))


def _digesting_seconds() -> float:
    """Per GB, on one core."""
    chunk, began = bytes(CHUNK_BYTES), time.process_time()
    digest = hashlib.sha256()
    for _ in range(DIGESTED_BYTES // CHUNK_BYTES):
        digest.update(chunk)
    return (time.process_time() - began) / (DIGESTED_BYTES / 1e9)


def _tell_retired(source: Source, target: Path) -> None:
    """Once: what it writes is no matter of chance."""
    print("\nthe retired way")
    usage = measured([WAYS["retired"](source, node) for node in _nodes(target)])
    shutil.rmtree(target)
    _tell_room("retired", [usage], NODES * source.total_bytes)


def _tell_faults(source: Source, target: Path) -> None:
    """What the source sent for what landed, when a tenth of its answers break off at any byte."""
    measured([agent(source, node) for node in _nodes(target)])
    with urllib.request.urlopen(f"{source.origin}/served", context=source.trust) as answer:  # noqa: S310 - ours
        served = int(answer.read())
    shutil.rmtree(target)
    _line(f"fetched ÷ landed with {FAULTS:.0%} faults (≤ 1.02)", [served / (NODES * source.total_bytes)])


def _tell_looks(workdir: Path, target: Path) -> None:
    """A look at a node that is warm already."""
    folder = workdir / "small"
    make_database(folder, files=SMALL_FILES)
    with file_source(workdir, folder) as source:
        measured([agent(source, target / "node0")])
        program = agent(source, target / "node0")
        seconds = [
            _timed(lambda: _run(program.command, program.environment, program.folder)) for _ in range(LOOKS)
        ]
    shutil.rmtree(folder)
    print(f"\na warm database of {SMALL_FILES} files")
    _line("seconds of a look, with its start (≤ 1)", seconds)


def _run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
    subprocess.run(command, env=dict(environment), cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _timed(work: Callable[[], None]) -> float:
    began = os.times().elapsed
    work()
    return os.times().elapsed - began


def _ratios(own: Sequence[float], others: Sequence[float]) -> list[float]:
    return [mine / other for mine, other in zip(own, others, strict=True)]


def _line(what: str, values: Sequence[float]) -> None:
    print(
        f"  {what:45} {statistics.median(values):8.3f} ({min(values):.3f} to {max(values):.3f})", flush=True
    )


if __name__ == "__main__":
    main()
