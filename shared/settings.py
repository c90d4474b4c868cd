"""The environment, read once. A missing or unfit setting is named, with what it should be.

Every setting is listed, with its default, in `local.settings.sample.json` and in the README; a test
keeps the three equal.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from shared.domain.callers import Permissions
from shared.domain.deadlines import LONGEST_RUN
from shared.domain.keeping import KeptWarm, parse_kept_warm
from shared.domain.model import AccessMode, Engine
from shared.domain.requests import BadRequestError, RequestDefaults

E = TypeVar("E", bound=StrEnum)
_logger = logging.getLogger("warmup.settings")
_WHOLE = re.compile(r"[0-9]{1,5}")
# The agent gives up two minutes before the run, and needs some to begin.
_DEADLINE_MINUTES = range(5, LONGEST_RUN // timedelta(minutes=1) + 1)
_RETENTION_DAYS = range(1, 3_651)
_QUANTITY = re.compile(r"[1-9][0-9]*(Ki|Mi|Gi)")
_TAINT = re.compile(r"[A-Za-z0-9./_-]+(=[A-Za-z0-9._-]*)?:(NoSchedule|PreferNoSchedule|NoExecute)")
# The dashboard's taint of pools for searches, and the one that AKS gives every spot pool.
_TOLERATED = "workload=blast:NoSchedule,kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
_LABEL = re.compile(r"[A-Za-z0-9./_-]+=[A-Za-z0-9._-]*")
# Where Azure or a cluster leaves its mark; on none of these may anybody come in without a token.
_SIGNS_OF_AZURE = (
    "WEBSITE_INSTANCE_ID",
    "WEBSITE_SITE_NAME",
    "CONTAINER_NAME",
    "WEBSITE_POD_NAME",
    "REGION_NAME",
    "CONTAINER_APP_NAME",
    "KUBERNETES_SERVICE_HOST",
)
# Who hands out an identity's tokens; where somebody tries the app by hand, at an address of that machine.
_IDENTITY_ENDPOINTS = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")
# Without these something is off that an operator may miss.
_SAID_WHEN_UNSET = (
    "ALLOWED_CLUSTERS",
    "ALLOWED_REGISTRIES",
    "ALLOWED_STORAGE_ACCOUNTS",
    "AUTH_READER_ROLE",
    "AUTH_OPERATOR_ROLE",
    "AUTH_APP_SERVICE",
    "AZURE_CLIENT_ID",
    "CA_BUNDLE_FILE",
    "KEEP_WARM",
    "STORAGE_SUBNET_ID",
    "WARMUP_DEADLINE_MINUTES",
    "WARMUP_IMAGE",
)


class SettingsError(ValueError):
    """A setting that is missing or unfit; the message says which, and what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSettings:
    """Which cloud, and who the app is in it."""

    arm_endpoint: str
    authority_host: str
    client_id: str | None
    ca_bundle: Path | None
    state_endpoint: str  # blob endpoint of the app's own storage account
    state_container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """How a storage account is opened to the nodes, and where databases lie in it."""

    mode: AccessMode
    subnet_id: str | None
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """How nodes are chosen and what runs on them."""

    requests: RequestDefaults
    pause_image: str
    node_directory: str
    node_labels: tuple[tuple[str, str], ...]
    tolerations: tuple[str, ...]
    engine: Engine
    memory_limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Who may call."""

    tenant_id: str | None
    client_id: str | None
    reader_role: str | None
    operator_role: str | None
    clusters: tuple[str, ...]  # `subscription/group/name` or `*`
    accounts: tuple[str, ...]  # names or `*`
    registries: tuple[str, ...]  # hosts or `*`
    development_bypass: bool
    behind_app_service: bool  # who calls is told by App Service's own authentication


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of it."""

    azure: AzureSettings
    access: AccessSettings
    pods: PodSettings
    auth: AuthSettings
    kept_warm: tuple[KeptWarm, ...]
    retention_days: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Read everything, or raise SettingsError naming the first setting that is wrong."""
        azure, pods = _azure(environment), _pods(environment)
        auth = _auth(environment, pods.requests)
        unset = [name for name in _SAID_WHEN_UNSET if not environment.get(name)]
        if unset:
            _logger.debug("optional settings are not set: %s", ", ".join(unset))
        return cls(
            azure=azure,
            access=_access(environment),
            pods=pods,
            auth=auth,
            kept_warm=_kept_warm(environment, pods, auth),
            retention_days=_whole(environment, "WARMUP_RETENTION_DAYS", _RETENTION_DAYS) or 30,
        )


def _azure(env: Mapping[str, str]) -> AzureSettings:
    bundle = env.get("CA_BUNDLE_FILE") or None
    if bundle is not None and not Path(bundle).is_file():
        raise SettingsError(
            f"CA_BUNDLE_FILE names {bundle!r}, which is no file; give a PEM bundle or unset it"
        )
    return AzureSettings(
        arm_endpoint=_url(env, "AZURE_ARM_ENDPOINT", "https://management.azure.com"),
        authority_host=_url(env, "AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com"),
        client_id=env.get("AZURE_CLIENT_ID") or None,
        ca_bundle=Path(bundle) if bundle else None,
        state_endpoint=_state_endpoint(env),
        state_container=env.get("WARMUP_STATE_CONTAINER") or "warmup-state",
    )


def _state_endpoint(env: Mapping[str, str]) -> str:
    """The Functions host's own storage, by identity: the same settings that the host reads."""
    if env.get("AzureWebJobsStorage__blobServiceUri"):
        return _url(env, "AzureWebJobsStorage__blobServiceUri", "")
    if env.get("AzureWebJobsStorage__accountName"):
        return f"https://{env['AzureWebJobsStorage__accountName']}.blob.core.windows.net"
    raise SettingsError(
        "AzureWebJobsStorage__blobServiceUri is missing: set it to the blob endpoint of the app's own "
        "storage account, whose access ledger must outlive every run (an account key is not accepted)"
    )


def _access(env: Mapping[str, str]) -> AccessSettings:
    mode = _choice(env, "STORAGE_ACCESS_MODE", AccessMode, AccessMode.NONE)
    subnet = env.get("STORAGE_SUBNET_ID") or None
    if mode is AccessMode.VNET and not subnet:
        raise SettingsError(
            "STORAGE_SUBNET_ID is missing: mode vnet needs the resource id of the nodes' subnet"
        )
    return AccessSettings(mode=mode, subnet_id=subnet, container=env.get("BLAST_DB_CONTAINER") or "blast-db")


def _pods(env: Mapping[str, str]) -> PodSettings:
    return PodSettings(
        requests=RequestDefaults(
            repository=env.get("WARMUP_IMAGE_REPOSITORY") or "ncbi/elb:1.4.0",
            registry_suffix=env.get("ACR_SUFFIX") or "azurecr.io",
            image=env.get("WARMUP_IMAGE") or None,
            deadline_minutes=_whole(env, "WARMUP_DEADLINE_MINUTES", _DEADLINE_MINUTES),
        ),
        pause_image=env.get("WARMUP_PAUSE_IMAGE") or "mcr.microsoft.com/oss/kubernetes/pause:3.9",
        node_directory=_absolute(env, "WARMUP_NODE_DIRECTORY", "/workspace"),
        node_labels=tuple(
            _pair(label) for label in _list(env, "WARMUP_NODE_LABELS", "workload=blast", _LABEL)
        ),
        tolerations=_list(env, "WARMUP_TOLERATIONS", _TOLERATED, _TAINT),
        engine=_choice(env, "WARMUP_ENGINE", Engine, Engine.RANGED),
        memory_limit=_quantity(env, "WARMUP_MEMORY_LIMIT", "1Gi"),
    )


def _auth(env: Mapping[str, str], requests: RequestDefaults) -> AuthSettings:
    bypass = env.get("AUTH_DEV_BYPASS", "").lower() == "true"
    signs = _signs_of_azure(env)
    if bypass and (signs or env.get("AZURE_FUNCTIONS_ENVIRONMENT") != "Development"):
        seen = f"{signs[0]} is set" if signs else "AZURE_FUNCTIONS_ENVIRONMENT is not Development"
        raise SettingsError(f"AUTH_DEV_BYPASS is refused, since this is no local host ({seen}); unset it")
    behind = env.get("AUTH_APP_SERVICE", "").lower() == "true"
    if behind and env.get("WEBSITE_AUTH_ENABLED", "").lower() != "true":
        raise SettingsError(
            "AUTH_APP_SERVICE is refused, since App Service does not authenticate here (WEBSITE_AUTH_ENABLED "
            "is not True): anybody could write its header; switch its authentication on, or unset this"
        )
    if not bypass and not behind and not (env.get("AZURE_TENANT_ID") and env.get("API_CLIENT_ID")):
        raise SettingsError(
            "AZURE_TENANT_ID and API_CLIENT_ID are missing: they say whose tokens are accepted"
        )
    return AuthSettings(
        tenant_id=env.get("AZURE_TENANT_ID") or None,
        client_id=env.get("API_CLIENT_ID") or None,
        reader_role=env.get("AUTH_READER_ROLE") or None,
        operator_role=env.get("AUTH_OPERATOR_ROLE") or None,
        clusters=_words(env, "ALLOWED_CLUSTERS"),
        accounts=_words(env, "ALLOWED_STORAGE_ACCOUNTS"),
        registries=_registries(env, requests),
        development_bypass=bypass,
        behind_app_service=behind,
    )


def _signs_of_azure(env: Mapping[str, str]) -> list[str]:
    left = [name for name in _SIGNS_OF_AZURE if env.get(name)]
    azures = [name for name in _IDENTITY_ENDPOINTS if env.get(name) and not _may_be_by_hand(env[name])]
    return [*left, *azures]


def _may_be_by_hand(url: str) -> bool:
    """Azure's own are names, localhost among them, and link-local addresses."""
    try:
        host = ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return host.is_private and not host.is_link_local  # loopback is private


def _registries(env: Mapping[str, str], requests: RequestDefaults) -> tuple[str, ...]:
    """The hosts that images may come from: those listed, and that of the operator's own image."""
    listed = _words(env, "ALLOWED_REGISTRIES")
    hosts = [word if word == "*" or "." in word else f"{word}.{requests.registry_suffix}" for word in listed]
    own = [requests.image.partition("/")[0]] if requests.image else []
    return (*hosts, *own)


def _kept_warm(env: Mapping[str, str], pods: PodSettings, auth: AuthSettings) -> tuple[KeptWarm, ...]:
    """What is started by itself is held to what anybody may ask for."""
    try:
        kept = parse_kept_warm(env.get("KEEP_WARM") or "")
    except BadRequestError as unfit:
        raise SettingsError(f"KEEP_WARM is unfit: {unfit}") from None
    allowed = Permissions(
        reader_role=None,
        operator_role=None,
        clusters=auth.clusters,
        accounts=auth.accounts,
        registries=auth.registries,
    )
    for each in kept:
        if not allowed.covers_cluster(each.cluster):
            raise SettingsError(f"KEEP_WARM names {each.cluster.name!r}, which ALLOWED_CLUSTERS does not")
        if not allowed.covers_account(each.account_name):
            raise SettingsError(
                f"KEEP_WARM names {each.account_name!r}, which ALLOWED_STORAGE_ACCOUNTS does not"
            )
    if kept and pods.requests.image is None:
        raise SettingsError("WARMUP_IMAGE is missing: KEEP_WARM needs it, since nobody names a registry")
    return kept


def _url(env: Mapping[str, str], name: str, default: str) -> str:
    value = (env.get(name) or default).rstrip("/")
    if not re.fullmatch(r"https://[^\s?#]+", value):
        raise SettingsError(f"{name} is {value[:80]!r}; give an https:// address")
    return value


def _choice(env: Mapping[str, str], name: str, kind: type[E], default: E) -> E:
    try:
        return kind(env.get(name) or default)
    except ValueError:
        raise SettingsError(f"{name} is {env[name][:40]!r}; give one of {', '.join(kind)}") from None


def _whole(env: Mapping[str, str], name: str, fit: range) -> int | None:
    text = env.get(name)
    if not text:
        return None
    if not _WHOLE.fullmatch(text) or int(text) not in fit:
        raise SettingsError(f"{name} is {text[:40]!r}; give a whole number from {fit[0]} to {fit[-1]}")
    return int(text)


def _quantity(env: Mapping[str, str], name: str, default: str) -> str:
    text = env.get(name) or default
    if not _QUANTITY.fullmatch(text):
        raise SettingsError(f"{name} is {text[:40]!r}; give a quantity such as 1Gi")
    return text


def _absolute(env: Mapping[str, str], name: str, default: str) -> str:
    text = env.get(name) or default
    if not text.startswith("/") or ".." in text:
        raise SettingsError(f"{name} is {text[:80]!r}; give an absolute path on the node")
    return text


def _words(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in (env.get(name) or "").split(",") if word.strip())


def _list(env: Mapping[str, str], name: str, default: str, rule: re.Pattern[str]) -> tuple[str, ...]:
    words = _words({name: env.get(name, default)}, name)
    bad = next((word for word in words if not rule.fullmatch(word)), None)
    if bad is not None:
        raise SettingsError(f"{name} holds {bad[:80]!r}; see the README for its form")
    return words


def _pair(label: str) -> tuple[str, str]:
    key, _, value = label.partition("=")
    return key, value
