"""The rules for containers and volumes: every field that a node reads without asking must be there. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cluster.failures import Cause
from local.cluster.quantities import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.cluster.objects import Json

HOST_PATH_TYPES = frozenset(
    {"", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"}
)


def container_causes(field: str, container: Json, volumes: Mapping[str, Json]) -> Iterator[Cause]:
    """What is wrong with one container of a pod that has these volumes."""
    yield from required(field, container, "name", "image")
    for index, mount in enumerate(container.get("volumeMounts") or []):
        where = f"{field}.volumeMounts[{index}]"
        yield from required(where, mount, "mountPath")
        if mount.get("name") not in volumes:
            message = f'Not found: "{mount.get("name")}"'
            yield Cause(field=f"{where}.name", message=message, reason="FieldValueNotFound")
    for index, variable in enumerate(container.get("env") or []):
        yield from _variable_causes(f"{field}.env[{index}]", variable)
    for index, source in enumerate(container.get("envFrom") or []):
        for key in ("configMapRef", "secretRef"):
            if key in source:
                yield from required(f"{field}.envFrom[{index}].{key}", source[key], "name")
    yield from _resource_causes(f"{field}.resources", container.get("resources") or {})


def volume_causes(field: str, volume: Json) -> Iterator[Cause]:
    """What is wrong with one volume."""
    yield from required(field, volume, "name")
    if "hostPath" in volume:
        yield from _host_path_causes(f"{field}.hostPath", volume["hostPath"])
    for kind, key in (("configMap", "name"), ("secret", "secretName")):
        if kind in volume:
            yield from required(f"{field}.{kind}", volume[kind], key)
            for index, item in enumerate(volume[kind].get("items") or []):
                yield from required(f"{field}.{kind}.items[{index}]", item, "key", "path")
    for index, item in enumerate((volume.get("downwardAPI") or {}).get("items") or []):
        where = f"{field}.downwardAPI.items[{index}]"
        yield from required(where, item, "path")
        yield from required(f"{where}.fieldRef", item.get("fieldRef") or {}, "fieldPath")


def quantity_causes(field: str, quantities: Mapping[str, object]) -> Iterator[Cause]:
    """What is wrong with a set of quantities."""
    for name, amount in quantities.items():
        try:
            parse_quantity(str(amount))
        except ValueError as error:
            yield Cause(field=f"{field}[{name}]", message=f"Invalid value: {error}")


def required(field: str, item: Json, *keys: str) -> Iterator[Cause]:
    """A cause for each key that is missing or empty."""
    for key in keys:
        if not item.get(key):
            yield Cause(field=f"{field}.{key}", message="Required value", reason="FieldValueRequired")


def unsupported(field: str, value: object, supported: frozenset[str]) -> Cause:
    """A cause for a word that is none of those that are understood."""
    words = ", ".join(f'"{word}"' for word in sorted(supported))
    message = f'Unsupported value: "{value}": supported values: {words}'
    return Cause(field=field, message=message, reason="FieldValueNotSupported")


def _variable_causes(field: str, variable: Json) -> Iterator[Cause]:
    yield from required(field, variable, "name")
    source = variable.get("valueFrom") or {}
    if "fieldRef" in source:
        yield from required(f"{field}.valueFrom.fieldRef", source["fieldRef"], "fieldPath")
    for key in ("configMapKeyRef", "secretKeyRef"):
        if key in source:
            yield from required(f"{field}.valueFrom.{key}", source[key], "name", "key")


def _resource_causes(field: str, resources: Json) -> Iterator[Cause]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    wrong = [*quantity_causes(f"{field}.requests", requests), *quantity_causes(f"{field}.limits", limits)]
    yield from wrong
    if wrong:
        return
    for name, amount in requests.items():
        if name in limits and parse_quantity(amount) > parse_quantity(limits[name]):
            why = f'Invalid value: "{amount}": must be less than or equal to {name} limit of {limits[name]}'
            yield Cause(field=f"{field}.requests", message=why)


def _host_path_causes(field: str, source: Json) -> Iterator[Cause]:
    yield from required(field, source, "path")
    if ".." in source.get("path", "").split("/"):
        message = f"Invalid value: \"{source['path']}\": must not contain '..'"
        yield Cause(field=f"{field}.path", message=message)
    if source["type"] not in HOST_PATH_TYPES:
        yield unsupported(f"{field}.type", source["type"], HOST_PATH_TYPES)
