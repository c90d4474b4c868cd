"""The agent's door: the environment and the command line in, an exit code out."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from .azcopy import Azcopy
from .blobs import Account
from .checking import check, verify
from .errors import AgentError, BadManifest, Interrupted
from .faults import named
from .identity import credentials_for
from .looking import Engine, Look
from .manifest import Manifest, nothing_of, parse_manifest
from .places import Places
from .ranged import Ranged
from .releasing import release
from .reporting import Reporter, Subject, log
from .settings import Settings, parse_settings, termination_log
from .warming import warm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

LONGEST_NAME_CHARACTERS = 63
USAGE = """\
Makes a BLAST database whole on this node, verifies every byte, and reports as JSON.

All values come from the environment; WARMUP_BLOB_ENDPOINT is required, but for a release:
  WARMUP_MANIFEST       what the database consists of  (/opt/warmup/manifest.json)
  WARMUP_DATABASE       what to release without a manifest
  WARMUP_DIRECTORY      where BLAST reads              (/workspace/blast)
  WARMUP_BLOB_ENDPOINT  https://ACCOUNT.blob.core.windows.net/
  WARMUP_ENGINE         ranged | azcopy                (ranged)
  WARMUP_MAX_MBPS       ceiling in MB/s                (none)
  WARMUP_DEADLINE       when who asks gives up         (none, then WARMUP_DEADLINE_SECONDS of copying)
  WARMUP_DEADLINE_SECONDS, WARMUP_ROLE_PATIENCE_SECONDS, WARMUP_START_JITTER_SECONDS
  WARMUP_MODE           warm | check | verify | release  (warm; the options below go first)
  WARMUP_RUN_ID, WARMUP_NODE                           told in each report
  WARMUP_TERMINATION_LOG                               where the last report goes, too, if it is there
  WARMUP_SAS_FILE, AZURE_CLIENT_ID, IDENTITY_ENDPOINT, IDENTITY_HEADER, SSL_CERT_FILE
  AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID, AZURE_AUTHORITY_HOST, AZURE_POD_IDENTITY_AUTHORITY_HOST

Exit codes: 0 ready, 2 wrong usage, 10 bad manifest, 11 disk full, 12 no identity, 13 access denied,
14 blob not found, 15 blob changed, 16 damaged, 17 deadline, 18 busy, 19 interrupted, 20 network,
21 throttled, 22 storage closed, 23 role missing, 24 certificate not trusted, 25 identity busy,
1 the agent's own fault.
"""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Look once at the database; returns the exit code."""
    environ = {**environ, **_parse_arguments(arguments)}
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        settings = parse_settings(environ)
        look = _prepare(settings, _read_manifest(settings))
    except Exception as error:  # noqa: BLE001 - whatever goes wrong must reach the report
        _hear_no_signal()
        return _refused(environ, named(error))
    try:
        look.reporter.ready(_look(look))
    except Exception as error:  # noqa: BLE001 - as above
        _hear_no_signal()
        cause = named(error)
        look.reporter.failed(cause)
        return cause.exit_code
    return 0


def _look(look: Look) -> str | None:
    if look.settings.mode == "check":
        return check(look)
    if look.settings.mode == "verify":
        return verify(look)
    if look.settings.mode == "release":
        count = release(look.places)
        log(f"removed {count} files of {look.manifest.database}" + ("" if count else ": it was not here"))
        return None
    return warm(look)


def _prepare(settings: Settings, manifest: Manifest) -> Look:
    places = Places(directory=settings.directory, database=manifest.database)
    account = Account(
        endpoint=settings.endpoint,
        container=manifest.container,
        credentials=credentials_for(settings.identity),
        run_id=settings.run_id,
    )
    engine = _engine(settings, account, places)
    return Look(
        manifest=manifest,
        places=places,
        settings=settings,
        account=account,
        engine=engine,
        reporter=Reporter(_subject(settings, manifest, engine), settings.termination_log),
    )


def _engine(settings: Settings, account: Account, places: Places) -> Engine:
    if settings.engine == "azcopy":
        return Azcopy(account, places, settings)
    return Ranged(account, places, settings.ceiling_bytes_per_second)


def _subject(settings: Settings, manifest: Manifest, engine: Engine) -> Subject:
    return Subject(
        run_id=settings.run_id,
        database=manifest.database,
        node=settings.node,
        generation=manifest.generation,
        mode=settings.mode,
        engine=engine.name,
        files_total=len(manifest.files),
        bytes_total=manifest.total_bytes,
    )


def _read_manifest(settings: Settings) -> Manifest:
    if settings.mode == "release" and settings.database:
        return nothing_of(settings.database)
    try:
        text = settings.manifest.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadManifest(f"{settings.manifest} cannot be read: {error}") from error
    manifest = parse_manifest(text)
    if not manifest.files and settings.mode != "release":
        raise BadManifest(f"the manifest of {manifest.database} names no file")
    return manifest


def _refused(environ: Mapping[str, str], error: AgentError) -> int:
    """Report a look that cannot even begin, in the same words as any other."""
    subject = Subject(
        run_id=_told(environ, "WARMUP_RUN_ID"),
        database="",
        node=_told(environ, "WARMUP_NODE"),
        generation="",
        mode=_told(environ, "WARMUP_MODE"),
        engine=_told(environ, "WARMUP_ENGINE"),
        files_total=0,
        bytes_total=0,
    )
    Reporter(subject, termination_log(environ)).failed(error)
    return error.exit_code


def _told(environ: Mapping[str, str], name: str) -> str:
    """No longer than any name that is one: a report has its limits."""
    return environ.get(name, "")[:LONGEST_NAME_CHARACTERS]


def _parse_arguments(arguments: Sequence[str]) -> dict[str, str]:
    parser = argparse.ArgumentParser(
        prog="python3 -m agent", description=USAGE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    for name, meaning in (
        ("check", "compare sizes and times with the marker; copy nothing"),
        ("verify", "read and verify every byte; copy nothing"),
    ):
        mode.add_argument(f"--{name}", dest="mode", action="store_const", const=name, help=meaning)
    mode.add_argument(
        "--release",
        metavar="DATABASE",
        nargs="?",
        const="",
        help="remove exactly this database's files; named here, it needs no manifest",
    )
    chosen = parser.parse_args(arguments)
    if chosen.release is not None:
        return {"WARMUP_MODE": "release", **({"WARMUP_DATABASE": chosen.release} if chosen.release else {})}
    return {"WARMUP_MODE": chosen.mode} if chosen.mode else {}


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    _hear_no_signal()
    raise Interrupted(f"stopped by {signal.Signals(number).name}")


def _hear_no_signal() -> None:
    """Nothing must disturb the farewell, which takes milliseconds."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
