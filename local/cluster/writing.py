"""How an object gets into the store: identity, defaults, rules, generation, in the real order."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cluster.admitting import admit
from local.cluster.applying import Applier, applied, fields_of, with_owners
from local.cluster.defaulting import TEMPLATE_GENERATION, fresh_status, with_defaults
from local.cluster.events import Event, Source, record
from local.cluster.failures import bad_request, conflict, forbidden
from local.cluster.objects import Json, is_deleting, name_of, namespace_of
from local.cluster.resources import DAEMON_SETS, JOBS, NAMESPACES, PODS, SERVICE_ACCOUNTS, Kind
from local.cluster.shapes import shaped
from local.cluster.store import newborn
from local.cluster.validation import validate

if TYPE_CHECKING:
    from local.cluster.store import Store

NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes makes generated names of: no vowels, so no words."""

SUFFIX_LENGTH = 5

SERVERS_OWN = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "resourceVersion",
        "uid",
    }
)
"""Metadata that a new object may bring along and that nobody looks at."""

COUNTED_KINDS = frozenset({DAEMON_SETS, JOBS, PODS})
"""Kinds whose `metadata.generation` counts changes of the spec."""


NEVER_RUN = Event(
    type="Warning",
    reason="NotRun",
    message="Jobs are kept here and never run; a DaemonSet or a pod of its own would be",
    source=Source(component="job-controller"),
)
"""What `kubectl describe job` tells instead of nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a request wants to write."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    dry_run: bool = False


def create(store: Store, place: Place, body: Json) -> Json:
    """Make a new object; raises 404 for a missing namespace, 409 for a taken name, 422 for bad content."""
    kind = place.kind
    if kind.namespaced:
        store.get(NAMESPACES, "", place.namespace)
    item = with_defaults(kind, _identified(place, _checked(kind, body)))
    status = fresh_status(kind, item)
    if status is not None:
        item["status"] = status
    if kind in COUNTED_KINDS:
        item["metadata"]["generation"] = 1
    if kind == DAEMON_SETS:
        item["metadata"]["annotations"][TEMPLATE_GENERATION] = "1"
    validate(kind, item, None)
    admit(store, kind, item)
    if kind == PODS:
        _check_service_account(store, item)
    if place.dry_run:
        return newborn(kind, item)
    made = store.create(kind, item)
    if kind == NAMESPACES:
        # A real cluster does this a moment later; clients that cannot wait gain nothing from the race.
        store.create(
            SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": item["metadata"]["name"]}}
        )
    if kind == JOBS:
        record(store, made, NEVER_RUN)
    return made


def replace(store: Store, place: Place, body: Json) -> Json:
    """Write the next state of an object; raises 404, 409 for an outdated version, 422 for bad content."""
    before = store.get(place.kind, place.namespace, place.name)
    item = _checked(place.kind, body)
    sent = item["metadata"].get("resourceVersion")
    if sent and sent != before["metadata"]["resourceVersion"]:
        raise conflict(place.kind, place.name)
    if item["metadata"].get("name", place.name) != place.name:
        sent_name = item["metadata"]["name"]
        raise bad_request(
            f"the name of the object ({sent_name}) does not match the name on the URL ({place.name})"
        )
    return store_next(store, place, item)


def store_next(store: Store, place: Place, item: Json) -> Json:
    """The common end of every write over an existing object."""
    kind = place.kind
    before = store.get(kind, place.namespace, place.name)
    following = with_defaults(kind, _with_kept_metadata(item, before))
    if place.subresource == "status":
        following = {**before, "metadata": following["metadata"], "status": following.get("status", {})}
    elif kind.has_status and "status" in before:
        following["status"] = before["status"]
    _count_generation(kind, following, before)
    validate(kind, following, before)
    admit(store, kind, following, before)
    return following if place.dry_run else store.update(kind, following)


def apply(store: Store, place: Place, body: Json, applier: Applier) -> tuple[Json, bool]:
    """Make or change an object by server-side apply; the flag tells whether it is new."""
    said = _checked(place.kind, body)
    said["metadata"].pop("managedFields", None)
    if said["metadata"].pop("resourceVersion", "") not in {"", _version(store, place)}:
        raise conflict(place.kind, place.name)
    before = store.find(place.kind, place.namespace, place.name)
    if before is None:
        named = {"apiVersion": place.kind.api_version, **said}
        named["metadata"] = {**said["metadata"], "name": place.name}
        return create(store, place, with_owners(named, {applier.manager: set(fields_of(said))})), True
    return store_next(store, place, applied(place.kind, before, said, applier)), False


def generated_name(prefix: str) -> str:
    """A name for `generateName`."""
    return prefix + "".join(secrets.choice(NAME_ALPHABET) for _ in range(SUFFIX_LENGTH))


def _check_service_account(store: Store, pod: Json) -> None:
    namespace, account = namespace_of(pod), pod["spec"]["serviceAccountName"]
    if store.find(SERVICE_ACCOUNTS, namespace, account) is None:
        name = name_of(pod)
        raise forbidden(
            PODS,
            name,
            f'pods "{name}" is forbidden: error looking up service account {namespace}/{account}: '
            f'serviceaccount "{account}" not found',
        )


def _version(store: Store, place: Place) -> str:
    known = store.find(place.kind, place.namespace, place.name)
    return str(known["metadata"]["resourceVersion"]) if known else ""


def _checked(kind: Kind, body: Json) -> Json:
    item = shaped(kind, body)
    if (
        body.get("kind", kind.kind) != kind.kind
        or body.get("apiVersion", kind.api_version) != kind.api_version
    ):
        told = f"{body.get('apiVersion')}, Kind={body.get('kind')}"
        wanted = f"{kind.api_version}, Kind={kind.kind}"
        raise bad_request(f"the object provided is unrecognized: it is {told}, this path takes {wanted}")
    return {**item, "metadata": dict(item.get("metadata") or {})}


def _identified(place: Place, item: Json) -> Json:
    metadata = {key: value for key, value in item["metadata"].items() if key not in SERVERS_OWN}
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generated_name(metadata["generateName"])
    if not metadata.get("name"):
        raise bad_request("name or generateName is required")
    if place.kind.namespaced:
        if (metadata.get("namespace") or place.namespace) != place.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = place.namespace
    return {**item, "metadata": metadata}


def _with_kept_metadata(item: Json, before: Json) -> Json:
    kept = {
        key: before["metadata"][key]
        for key in (
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "resourceVersion",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        )
        if key in before["metadata"]
    }
    identity = {"kind": before["kind"], "apiVersion": before["apiVersion"]}
    rest = {key: value for key, value in item.items() if key not in {"kind", "apiVersion", "metadata"}}
    return {**identity, "metadata": {**item["metadata"], **kept}, **rest}


def _count_generation(kind: Kind, item: Json, before: Json) -> None:
    if kind == DAEMON_SETS:
        annotations = item["metadata"].setdefault("annotations", {})
        count = int(before["metadata"]["annotations"][TEMPLATE_GENERATION])
        changed = item["spec"]["template"] != before["spec"]["template"]
        annotations[TEMPLATE_GENERATION] = str(count + changed)
    if kind in COUNTED_KINDS and item["spec"] != before["spec"] and not is_deleting(before):
        item["metadata"]["generation"] = before["metadata"]["generation"] + 1
