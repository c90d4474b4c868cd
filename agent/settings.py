"""The environment, read once: what this look is asked to do, on which folder, from which account.

A missing or senseless value is named in the error. Nothing else in the agent reads the environment,
but for OpenSSL, which honours SSL_CERT_FILE by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args
from urllib.parse import urlsplit

from .errors import BadManifest

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["warm", "verify", "check", "release"]
EngineName = Literal["ranged", "azcopy"]

# Five hours: core_nt (292 GB) over the slowest managed disk (100 MB/s) takes 49 min; this is a last resort.
DEFAULT_DEADLINE_SECONDS = 5 * 3600.0
# Azure documents up to ten minutes until a role assignment acts.
DEFAULT_ROLE_PATIENCE_SECONDS = 600.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the blobs are: the one origin that may see a token."""

    tls: bool
    host: str
    port: int
    path: str
    """Prefix of every blob's path, without a slash at its end."""

    @property
    def origin(self) -> str:
        """Scheme, host and port, for messages."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"


# A release reads no blobs, and the account may be gone; a name of RFC 6761 that never resolves.
NOBODY = Endpoint(tls=True, host="nobody.invalid", port=443, path="")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """Which of the ways to a token this node has."""

    client_id: str | None
    endpoint: str | None
    header: str | None
    federated_token_file: Path | None
    tenant_id: str | None
    authority: str
    imds: str
    """The instance's metadata service, as an origin."""
    sas_file: Path | None

    @property
    def is_federated(self) -> bool:
        """Workload identity is set up, and nothing that goes before it."""
        return bool(not self.endpoint and self.federated_token_file and self.tenant_id and self.client_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a look is told."""

    run_id: str
    mode: Mode
    manifest: Path
    database: str | None
    """What to release without a manifest."""
    directory: Path
    endpoint: Endpoint
    engine: EngineName
    ceiling_bytes_per_second: float | None
    start_jitter_seconds: float
    deadline: datetime | None
    """When the run that asks gives up on its nodes, and this one just before."""
    deadline_seconds: float
    """What copying may take without such a deadline, or after it: time with access counts."""
    role_patience_seconds: float
    node: str
    termination_log: Path
    identity: IdentitySettings


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from the environment.

    Raises:
        BadManifest: a required variable is missing, or one has no meaning.
    """
    ceiling = _number(environ, "WARMUP_MAX_MBPS", 0)
    engine = _one_of(environ, "WARMUP_ENGINE", get_args(EngineName))
    if engine == "azcopy" and environ.get("WARMUP_SAS_FILE"):
        raise BadManifest(
            "WARMUP_ENGINE is azcopy, which would show the SAS of WARMUP_SAS_FILE to the whole node",
            remedy="use the engine ranged with a SAS",
        )
    mode = cast("Mode", _one_of(environ, "WARMUP_MODE", get_args(Mode)))
    return Settings(
        run_id=environ.get("WARMUP_RUN_ID", "by-hand"),
        mode=mode,
        manifest=Path(environ.get("WARMUP_MANIFEST", "/opt/warmup/manifest.json")),
        database=environ.get("WARMUP_DATABASE") or None,
        directory=Path(environ.get("WARMUP_DIRECTORY", "/workspace/blast")),
        endpoint=NOBODY if mode == "release" else parse_endpoint(_required(environ, "WARMUP_BLOB_ENDPOINT")),
        engine=cast("EngineName", engine),
        ceiling_bytes_per_second=ceiling * 1e6 if ceiling else None,
        start_jitter_seconds=_number(environ, "WARMUP_START_JITTER_SECONDS", 0),
        deadline=_moment(environ, "WARMUP_DEADLINE"),
        deadline_seconds=_number(environ, "WARMUP_DEADLINE_SECONDS", DEFAULT_DEADLINE_SECONDS),
        role_patience_seconds=_number(environ, "WARMUP_ROLE_PATIENCE_SECONDS", DEFAULT_ROLE_PATIENCE_SECONDS),
        node=environ.get("WARMUP_NODE", ""),
        termination_log=termination_log(environ),
        identity=_parse_identity(environ),
    )


def termination_log(environ: Mapping[str, str]) -> Path:
    """Where Kubernetes picks up the last word; known even where nothing else is."""
    return Path(environ.get("WARMUP_TERMINATION_LOG") or "/dev/termination-log")


def parse_endpoint(url: str) -> Endpoint:
    """The blob endpoint of an account.

    >>> parse_endpoint("https://127.0.0.1:10000/acct/").path
    '/acct'

    Raises:
        BadManifest: not a URL with a host, or one over which a token would travel in clear.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.username:
        raise BadManifest(f"WARMUP_BLOB_ENDPOINT is not the URL of an account's blobs: {url!r}")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise BadManifest(f"WARMUP_BLOB_ENDPOINT {url!r} has no TLS: a token would travel in clear")
    tls = parts.scheme == "https"
    return Endpoint(tls=tls, host=host, port=port or (443 if tls else 80), path=parts.path.rstrip("/"))


def _parse_identity(environ: Mapping[str, str]) -> IdentitySettings:
    return IdentitySettings(
        client_id=environ.get("AZURE_CLIENT_ID") or None,
        endpoint=environ.get("IDENTITY_ENDPOINT") or None,
        header=environ.get("IDENTITY_HEADER") or None,
        federated_token_file=_path(environ, "AZURE_FEDERATED_TOKEN_FILE"),
        tenant_id=environ.get("AZURE_TENANT_ID") or None,
        authority=environ.get("AZURE_AUTHORITY_HOST") or "https://login.microsoftonline.com/",
        # The name that Azure's own SDKs honour, for metadata services that are proxied.
        imds=environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or "http://169.254.169.254",
        sas_file=_path(environ, "WARMUP_SAS_FILE"),
    )


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name)
    return Path(value) if value else None


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise BadManifest(f"{name} is not set", remedy=f"set {name}; see python3 -m agent --help")
    return value


def _one_of(environ: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """One of `allowed`, of which the first is the default."""
    value = environ.get(name) or allowed[0]
    if value not in allowed:
        raise BadManifest(f"{name} is {value!r}, not one of {', '.join(allowed)}")
    return value


def _moment(environ: Mapping[str, str], name: str) -> datetime | None:
    """A point in time as RFC 3339 has it, but for its Z, which Python 3.10 cannot read."""
    text = environ.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadManifest(f"{name} is {text!r}, not a time such as 2026-01-31T12:00:00+00:00") from error
    if moment.tzinfo is None:
        raise BadManifest(f"{name} is {text!r}: its offset from UTC is missing, such as +00:00")
    return moment


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    try:
        number = float(text)
    except ValueError as error:
        raise BadManifest(f"{name} is {text!r}, not a number") from error
    if not 0 <= number < float("inf"):
        raise BadManifest(f"{name} is {text!r}: it must be 0 or more")
    return number
