"""Containers without a container engine: bubblewrap around a process, the host's own programs as the image.

The root of a container is an empty file system with the host's `/usr`, the needed parts of its `/etc`,
python3, azcopy and BLAST+ in it, all read-only; hostPath volumes come from the node's folder. Processes have
their own pid, ipc and uts namespaces and share the host's network. They die with the server, even when that
is killed.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.cluster.nodes.volumes import Mount

AZCOPY = Path(__file__).parents[2] / "npm/node_modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64"
SYSTEM_PYTHON = Path("/usr/bin/python3")

LOCAL_PROGRAMS = "/usr/local/bin"
"""Covered by an empty folder, so that nothing of the host's own leaks in, and filled from the toolbox."""

TERMINATION_LOG = "/dev/termination-log"

CHECK_SECONDS = 10
"""A sandbox starts in some 10 ms; this is for a machine that is very busy."""

_ETC = (
    "alternatives",
    "ca-certificates",
    "group",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "ncbi",
    "nsswitch.conf",
    "passwd",
    "resolv.conf",
    "ssl",
)

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64")
"""Folders of the root that are links into /usr on merged systems, and real ones elsewhere."""


class SandboxError(Exception):
    """This machine cannot isolate processes; the message names the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """What every image holds besides the host's /usr."""

    binds: tuple[tuple[Path, str], ...]
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process to start in a container."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    working_directory: str
    mounts: Sequence[Mount]
    termination_log: Path
    user: int
    read_only_root: bool
    keep_capabilities: bool
    hostname: str


def find_toolbox() -> Toolbox:
    """The host's programs that ElasticBLAST's image has; makes azcopy executable."""
    binds: list[tuple[Path, str]] = []
    links: list[tuple[str, str]] = []
    if AZCOPY.exists():
        # npm leaves the binary without its executable bit.
        AZCOPY.chmod(AZCOPY.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        binds.append((AZCOPY, f"{LOCAL_PROGRAMS}/azcopy"))
    if not SYSTEM_PYTHON.exists():
        prefix = Path(sys.base_prefix)
        binds.append((prefix, str(prefix)))
        links.append((f"{prefix}/bin/python3", f"{LOCAL_PROGRAMS}/python3"))
    return Toolbox(binds=tuple(binds), links=tuple(links))


def check_sandbox() -> None:
    """Try it once; raises SandboxError."""
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError("bubblewrap is missing; install it: apt-get install bubblewrap")
    command = [
        program,
        *_NAMESPACES,
        "--uid",
        "0",
        "--gid",
        "0",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "true",
    ]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)
    if tried.returncode:
        raise SandboxError(
            f"this machine forbids the namespaces that isolate pods ({tried.stderr.strip()}); allow them "
            "(sysctl kernel.unprivileged_userns_clone=1 and "
            "kernel.apparmor_restrict_unprivileged_userns=0; in a container: --privileged)"
        )


def command_line(process: Process, toolbox: Toolbox) -> list[str]:
    """The bubblewrap command for a process. Pure but for looking at which host folders exist."""
    return [
        "bwrap",
        "--die-with-parent",
        "--as-pid-1",
        *_NAMESPACES,
        *("--uid", str(process.user), "--gid", str(process.user), "--hostname", process.hostname),
        *([] if process.keep_capabilities else ["--cap-drop", "ALL"]),
        *_root(toolbox),
        *("--proc", "/proc", "--dev", "/dev", "--dir", "/tmp", "--dir", "/root", "--dir", "/run"),  # noqa: S108 - inside the container
        *_mount_arguments(process.mounts),
        *("--bind", str(process.termination_log), TERMINATION_LOG),
        *(["--remount-ro", "/"] if process.read_only_root else []),
        *("--chdir", process.working_directory, "--clearenv"),
        *(part for name, value in process.environment.items() for part in ("--setenv", name, value)),
        "--",
        *process.argv,
    ]


_NAMESPACES = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts")


def _root(toolbox: Toolbox) -> list[str]:
    arguments = ["--tmpfs", "/", "--ro-bind", "/usr", "/usr"]
    for name in _MERGED:
        host = Path("/") / name
        if host.is_symlink():
            arguments += ["--symlink", str(host.readlink()), str(host)]
        elif host.exists():
            arguments += ["--ro-bind", str(host), str(host)]
    for name in _ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    arguments += ["--tmpfs", LOCAL_PROGRAMS]
    for source, target in toolbox.binds:
        arguments += ["--ro-bind", str(source), target]
    for target, link in toolbox.links:
        arguments += ["--symlink", target, link]
    return arguments


def _mount_arguments(mounts: Sequence[Mount]) -> list[str]:
    arguments: list[str] = []
    for mount in mounts:
        arguments += ["--ro-bind" if mount.read_only else "--bind", str(mount.source), mount.target]
    return arguments
