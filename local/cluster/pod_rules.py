"""The rules for what runs: pods, and the templates of DaemonSets and Jobs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cluster.failures import Cause
from local.cluster.quantities import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from local.cluster.objects import Json

HOST_PATH_TYPES = frozenset(
    {"", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"}
)

CHANGEABLE = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations")
"""What may change in a pod that exists, besides its containers' images."""


def pod_causes(item: Json) -> list[Cause]:
    """Of a pod."""
    return list(_spec_causes("spec", item["spec"]))


def pod_change_causes(item: Json, before: Json) -> Iterator[Cause]:
    """Of a pod that exists: only images, tolerations that are added and a few more may change."""
    now, then = _fixed_part(item["spec"]), _fixed_part(before["spec"])
    if now != then:
        fields = ", ".join(f"`spec.{name}`" for name in CHANGEABLE)
        why = f"Forbidden: pod updates may not change fields other than {fields}"
        yield Cause(field="spec", message=why, reason="FieldValueForbidden")


def template_causes(template: Json) -> list[Cause]:
    """Of a DaemonSet's template: only restartPolicy Always may run for ever."""
    spec = template["spec"]
    causes = list(_spec_causes("spec.template.spec", spec))
    if spec["restartPolicy"] != "Always":
        why = f'Unsupported value: "{spec["restartPolicy"]}": supported values: "Always"'
        causes.append(_unsupported("spec.template.spec.restartPolicy", why))
    return causes


def job_causes(item: Json) -> list[Cause]:
    """Of a Job."""
    spec = item["spec"]["template"]["spec"]
    causes = list(_spec_causes("spec.template.spec", spec))
    if spec["restartPolicy"] == "Always":
        why = 'Unsupported value: "Always": supported values: "OnFailure", "Never"'
        causes.append(_unsupported("spec.template.spec.restartPolicy", why))
    return causes


def _fixed_part(spec: Json) -> Json:
    fixed: Json = {key: value for key, value in spec.items() if key not in CHANGEABLE}
    for group in ("containers", "initContainers"):
        if group in fixed:
            fixed[group] = [{**container, "image": ""} for container in fixed[group]]
    return fixed


def _spec_causes(field: str, spec: Json) -> Iterator[Cause]:
    containers: list[Json] = spec.get("containers") or []
    if not containers:
        yield _required(f"{field}.containers")
    volumes = {str(volume.get("name")): volume for volume in spec.get("volumes") or []}
    yield from _duplicates(
        f"{field}.volumes", [str(volume.get("name")) for volume in spec.get("volumes") or []]
    )
    for index, volume in enumerate(spec.get("volumes") or []):
        yield from _volume_causes(f"{field}.volumes[{index}]", volume)
    everyone = [
        ("initContainers", index, item) for index, item in enumerate(spec.get("initContainers") or [])
    ]
    everyone += [("containers", index, item) for index, item in enumerate(containers)]
    yield from _duplicates(f"{field}.containers", [str(item.get("name")) for _, _, item in everyone])
    for group, index, container in everyone:
        yield from _container_causes(f"{field}.{group}[{index}]", container, volumes)


def _container_causes(field: str, container: Json, volumes: dict[str, Json]) -> Iterator[Cause]:
    for key in ("name", "image"):
        if not container.get(key):
            yield _required(f"{field}.{key}")
    for index, mount in enumerate(container.get("volumeMounts") or []):
        if not mount.get("mountPath"):
            yield _required(f"{field}.volumeMounts[{index}].mountPath")
        if mount.get("name") not in volumes:
            yield _absent(f"{field}.volumeMounts[{index}].name", mount.get("name"))
    yield from _resource_causes(f"{field}.resources", container.get("resources") or {})


def _sidecar_causes(field: str, inits: Sequence[Json]) -> Iterator[Cause]:
    for index, container in enumerate(inits):
        if "restartPolicy" in container:
            why = "Forbidden: sidecar containers are not imitated by this cluster"
            path = f"{field}.initContainers[{index}].restartPolicy"
            yield Cause(field=path, message=why, reason="FieldValueForbidden")


def _resource_causes(field: str, resources: Json) -> Iterator[Cause]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, amount in [*requests.items(), *limits.items()]:
        try:
            parse_quantity(amount)
        except ValueError as error:
            yield Cause(field=f"{field}[{name}]", message=f"Invalid value: {error}")
            return
    for name, amount in requests.items():
        if name in limits and parse_quantity(amount) > parse_quantity(limits[name]):
            why = f'Invalid value: "{amount}": must be less than or equal to {name} limit of {limits[name]}'
            yield Cause(field=f"{field}.requests", message=why)


def _volume_causes(field: str, volume: Json) -> Iterator[Cause]:
    if not volume.get("name"):
        yield _required(f"{field}.name")
    host_path = volume.get("hostPath")
    if host_path is None:
        return
    if not host_path.get("path"):
        yield _required(f"{field}.hostPath.path")
    elif ".." in host_path["path"].split("/"):
        why = f"Invalid value: \"{host_path['path']}\": must not contain '..'"
        yield Cause(field=f"{field}.hostPath.path", message=why)
    if host_path["type"] not in HOST_PATH_TYPES:
        supported = ", ".join(f'"{name}"' for name in sorted(HOST_PATH_TYPES))
        why = f'Unsupported value: "{host_path["type"]}": supported values: {supported}'
        yield _unsupported(f"{field}.hostPath.type", why)


def _duplicates(field: str, names: Sequence[str]) -> Iterator[Cause]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Cause(
                field=f"{field}[{index}].name",
                message=f'Duplicate value: "{name}"',
                reason="FieldValueDuplicate",
            )


def _required(field: str) -> Cause:
    return Cause(field=field, message="Required value", reason="FieldValueRequired")


def _absent(field: str, name: object) -> Cause:
    return Cause(field=field, message=f'Not found: "{name}"', reason="FieldValueNotFound")


def _unsupported(field: str, why: str) -> Cause:
    return Cause(field=field, message=why, reason="FieldValueNotSupported")
