"""From what a stranger sent to a `WarmupRequest`: parsed once, hostile until then.

Each rule names the field and says what is allowed. Names follow Azure's own rules; a database is a
name or a path in the `blast-db` container, never a URL.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.model import Cluster, Database, Mode, OnFailure, Registry, WarmupRequest
from shared.domain.runs import AccountQuery

MAX_DATABASES = 16  # one run watches them together; more is a catalogue, not a click
MAX_MBPS = 100_000  # above any NIC: a typing error, not a limit

_ANY_DATABASE_FIELD = ("databases", "db", "database_name", "db_display_name")
_RESOURCE_GROUP = r"[-A-Za-z0-9._()]{0,89}[-A-Za-z0-9_()]"
_CLUSTER = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_DATABASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VOLUME = re.compile(r".*\.[0-9]{2,3}")


# The whole rule of `parse_database` in one pattern, for those who read it in the API's description.
DATABASE_PATTERN = (
    rf"(?!.*\.\.)(?!.*\.[0-9]{{2,3}}/?$)(blast-db/)?{_DATABASE.pattern}(/{_DATABASE.pattern}){{0,2}}/?"
)


class BadRequestError(ValueError):
    """A field that breaks its rule; the message names both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDefaults:
    """What the operator has set for all requests; an image comes from the named registry, else from here."""

    repository: str  # ncbi/elb:1.4.0
    registry_suffix: str  # azurecr.io
    image: str | None
    deadline_minutes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a field of text may be: the whole of it, and the same in words."""

    pattern: str
    words: str


_GROUP_RULE = Rule(pattern=_RESOURCE_GROUP, words="1-90 letters, digits or -._() and not end in a period")
_CLUSTER_RULE = Rule(pattern=_CLUSTER, words="1-63 letters, digits, '_' or '-', ending in a letter or digit")
RULES = {
    "subscription_id": Rule(pattern=r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", words="a UUID"),
    "resource_group": _GROUP_RULE,
    "storage_account": Rule(pattern=r"[a-z0-9]{3,24}", words="3-24 lower-case letters and digits"),
    "storage_resource_group": _GROUP_RULE,
    "aks_cluster_name": _CLUSTER_RULE,
    "cluster_name": _CLUSTER_RULE,
    "acr_name": Rule(pattern=r"[A-Za-z0-9]{5,50}", words="5-50 letters and digits"),
    "acr_resource_group": _GROUP_RULE,
    "instance_id": Rule(pattern=r"[A-Za-z0-9-]{16,64}", words="16-64 letters, digits or '-'"),
}


def parse_request(fields: object, *, defaults: RequestDefaults, requested_by: str) -> WarmupRequest:
    """Read the body of a start.

    Raises:
        BadRequestError: naming the field and its rule; nothing of the value is repeated unescaped.
    """
    body = _object(fields)
    registry = parse_registry(body)
    return WarmupRequest(
        cluster=parse_cluster(body),
        account_name=_matching(body, "storage_account"),
        account_resource_group=_optional(body, "storage_resource_group"),
        databases=parse_databases(body),
        image=_image(registry, defaults),
        registry=registry,
        mode=Mode.VERIFY if _flag(body, "verify_only") else Mode.WARM,
        dry_run=_flag(body, "dry_run"),
        allow_partial=_flag(body, "allow_partial"),
        max_mbps_per_node=_mbps(body),
        deadline_minutes=defaults.deadline_minutes,
        requested_by=requested_by,
        on_failure=_on_failure(body),
    )


def parse_release(fields: object, *, defaults: RequestDefaults, requested_by: str) -> WarmupRequest:
    """Read the body of a release: a cluster and what to take off it; an account is not asked for.

    Raises:
        BadRequestError: as `parse_request`.
    """
    body = _object(fields)
    return WarmupRequest(
        cluster=parse_cluster(body),
        account_name="",
        account_resource_group=None,
        databases=parse_databases(body),
        image=_image(parse_registry(body), defaults),
        registry=None,
        mode=Mode.RELEASE,
        dry_run=_flag(body, "dry_run"),
        allow_partial=_flag(body, "allow_partial"),
        max_mbps_per_node=None,
        deadline_minutes=defaults.deadline_minutes,
        requested_by=requested_by,
    )


def parse_cluster(fields: object) -> Cluster:
    """Read the three names that point at a cluster, from a body or a query."""
    body = _object(fields)
    key = "aks_cluster_name" if body.get("aks_cluster_name") not in (None, "") else "cluster_name"
    if body.get(key) in (None, ""):
        raise BadRequestError("aks_cluster_name is required (or cluster_name)")
    return Cluster(
        subscription_id=_matching(body, "subscription_id").lower(),
        resource_group=_matching(body, "resource_group"),
        name=_matching(body, key),
    )


def parse_database(text: object) -> Database:
    """Read one database: `core_nt`, `blast-db/core_nt`, `nt/nt_euk` or `custom_db/mine`.

    >>> parse_database("blast-db/core_nt")
    Database(name='core_nt', folder='core_nt')
    >>> parse_database("custom_db/mine")
    Database(name='mine', folder='custom_db/mine')
    """
    if not isinstance(text, str):
        raise BadRequestError("db must be a string: a database name such as core_nt")
    segments = text.removeprefix("blast-db/").removesuffix("/").split("/")
    if not 1 <= len(segments) <= 3 or not all(_DATABASE.fullmatch(part) for part in segments):  # noqa: PLR2004
        raise BadRequestError(
            f"db {text[:80]!r} is not a database name: letters, digits, '.', '_' and '-', as in core_nt or "
            "blast-db/core_nt; never a URL"
        )
    if any(".." in part for part in segments):
        raise BadRequestError(f"db {text[:80]!r} must not contain '..'")
    name = segments[-1]
    if _VOLUME.fullmatch(name):
        raise BadRequestError(f"db {name!r} is a volume, whose files are another database's; name that one")
    custom = segments[:-1] == ["custom_db"]
    folder = "/".join(segments if custom else segments[:-1]) or name
    return Database(name=name, folder=folder)


def parse_databases(fields: object) -> tuple[Database, ...]:
    """Read which databases are meant: one, or a list; sorted, each once."""
    body = _object(fields)
    key = next((name for name in _ANY_DATABASE_FIELD if body.get(name) not in (None, "", [])), None)
    if key is None:
        raise BadRequestError("db is required: a database name such as core_nt")
    value = body[key]
    entries = value if isinstance(value, list) else [value]
    if len(entries) > MAX_DATABASES:
        raise BadRequestError(f"{key} names {len(entries)} databases; at most {MAX_DATABASES} share one run")
    found = {parse_database(entry) for entry in entries}
    return _distinct(tuple(sorted(found, key=lambda database: database.path)))


def parse_registry(fields: object) -> Registry | None:
    """Read where the image shall come from, where that is said."""
    body = _object(fields)
    name, group = _optional(body, "acr_name"), _optional(body, "acr_resource_group")
    return None if name is None else Registry(name=name, resource_group=group)


def parse_account(fields: object) -> AccountQuery:
    """Read which account is meant, from a body or a query; the cluster's group says nothing about it."""
    body = _object(fields)
    return AccountQuery(
        subscription_id=_matching(body, "subscription_id").lower(),
        name=_matching(body, "storage_account"),
        resource_group=_optional(body, "storage_resource_group"),
        run_id="",
    )


def parse_run_id(text: object) -> str:
    """Read a run's id as it stands in a path."""
    return _matching({"instance_id": text}, "instance_id")


def parse_whole(fields: Mapping[str, str], key: str, default: int, most: int) -> int:
    """Read a whole number from a query, from 0 to `most`."""
    text = fields.get(key) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > most:
        raise BadRequestError(f"{key} must be a whole number from 0 to {most}")
    return int(text)


def _object(fields: object) -> Mapping[str, object]:
    if not isinstance(fields, Mapping):
        raise BadRequestError("the body must be a JSON object")
    return fields


def _matching(body: Mapping[str, object], key: str) -> str:
    value, rule = body.get(key), RULES[key]
    if value is None or value == "":
        raise BadRequestError(f"{key} is required: {rule.words}")
    if not isinstance(value, str) or not re.fullmatch(rule.pattern, value):
        raise BadRequestError(f"{key} is not valid: it must be {rule.words}")
    return value


def _optional(body: Mapping[str, object], key: str) -> str | None:
    return None if body.get(key) in (None, "") else _matching(body, key)


def _flag(body: Mapping[str, object], key: str) -> bool:
    value = body.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise BadRequestError(f"{key} must be true or false")
    return value


def _on_failure(body: Mapping[str, object]) -> OnFailure:
    value = body.get("on_failure")
    if value in (None, ""):
        return OnFailure.REMOVE
    if not isinstance(value, str) or value not in set(OnFailure):
        raise BadRequestError(f"on_failure must be one of {', '.join(OnFailure)}")
    return OnFailure(value)


def _mbps(body: Mapping[str, object]) -> int | None:
    value = body.get("max_mbps_per_node")
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_MBPS:
        raise BadRequestError(f"max_mbps_per_node must be a whole number of MB/s from 1 to {MAX_MBPS}")
    return value


def _distinct(databases: tuple[Database, ...]) -> tuple[Database, ...]:
    names = [database.name for database in databases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadRequestError(f"db {twice[0]!r} is named in two folders; files lie flat on a node")
    return databases


def _image(registry: Registry | None, defaults: RequestDefaults) -> str:
    if registry is not None:
        return f"{registry.name.lower()}.{defaults.registry_suffix}/{defaults.repository}"
    if defaults.image is None:
        raise BadRequestError(
            "no image is named: send acr_name, the registry that holds "
            + defaults.repository
            + ", or set WARMUP_IMAGE"
        )
    return defaults.image
