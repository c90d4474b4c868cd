"""The rules for what runs: pods, and the templates of DaemonSets and Jobs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cluster.container_rules import container_causes, required, unsupported, volume_causes
from local.cluster.failures import Cause
from local.cluster.placement_rules import placement_causes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from local.cluster.objects import Json

CHANGEABLE = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations")
"""What may change in a pod that exists, besides its containers' images."""

RESTART_POLICIES = frozenset({"Always", "OnFailure", "Never"})


def pod_causes(item: Json) -> Iterator[Cause]:
    """Of a pod."""
    yield from _spec_causes("spec", item["spec"], RESTART_POLICIES)


def template_causes(template: Json) -> Iterator[Cause]:
    """Of a DaemonSet's template: it runs for ever."""
    yield from _spec_causes("spec.template.spec", template["spec"], frozenset({"Always"}))


def job_causes(item: Json) -> Iterator[Cause]:
    """Of a Job: it ends."""
    allowed = frozenset({"OnFailure", "Never"})
    yield from _spec_causes("spec.template.spec", item["spec"]["template"]["spec"], allowed)


def pod_change_causes(item: Json, before: Json) -> Iterator[Cause]:
    """Of a pod that exists: only images, tolerations that are added and a few more may change."""
    now, then = _fixed_part(item["spec"]), _fixed_part(before["spec"])
    if now != then:
        fields = ", ".join(f"`spec.{name}`" for name in CHANGEABLE)
        why = f"Forbidden: pod updates may not change fields other than {fields}"
        yield Cause(field="spec", message=why, reason="FieldValueForbidden")


def _fixed_part(spec: Json) -> Json:
    fixed: Json = {key: value for key, value in spec.items() if key not in CHANGEABLE}
    for group in ("containers", "initContainers"):
        if group in fixed:
            fixed[group] = [{**container, "image": ""} for container in fixed[group]]
    return fixed


def _spec_causes(field: str, spec: Json, policies: frozenset[str]) -> Iterator[Cause]:
    yield from required(field, spec, "containers")
    if spec["restartPolicy"] not in policies:
        yield unsupported(f"{field}.restartPolicy", spec["restartPolicy"], policies)
    yield from placement_causes(field, spec)
    inits, mains = spec.get("initContainers") or [], spec.get("containers") or []
    volumes = spec.get("volumes") or []
    yield from _duplicates(f"{field}.volumes", volumes)
    yield from _duplicates(f"{field}.containers", [*inits, *mains])
    yield from _sidecar_causes(field, inits)
    for index, volume in enumerate(volumes):
        yield from volume_causes(f"{field}.volumes[{index}]", volume)
    known = {str(volume.get("name")): volume for volume in volumes}
    for group, containers in (("initContainers", inits), ("containers", mains)):
        for index, container in enumerate(containers):
            yield from container_causes(f"{field}.{group}[{index}]", container, known)


def _sidecar_causes(field: str, inits: Sequence[Json]) -> Iterator[Cause]:
    for index, container in enumerate(inits):
        if "restartPolicy" in container:
            why = "Forbidden: sidecar containers are not imitated by this cluster"
            path = f"{field}.initContainers[{index}].restartPolicy"
            yield Cause(field=path, message=why, reason="FieldValueForbidden")


def _duplicates(field: str, items: Sequence[Json]) -> Iterator[Cause]:
    names = [item.get("name") for item in items]
    for index, name in enumerate(names):
        if name in names[:index]:
            message = f'Duplicate value: "{name}"'
            yield Cause(field=f"{field}[{index}].name", message=message, reason="FieldValueDuplicate")
