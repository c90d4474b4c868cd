"""Pod Security admission: what a namespace's labels allow its pods, in Kubernetes' own words. Pure.

Pods are refused by the level of `enforce`; what only holds a template, a DaemonSet or a Job, is stored
with a warning. Not looked at: AppArmor, SELinux, sysctls, `/proc` mounts, Windows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from local.cluster.failures import ApiError, Cause, forbidden
from local.cluster.metadata_rules import bad_value
from local.cluster.objects import Json, containers_of, labels_of, name_of
from local.cluster.resources import DAEMON_SETS, JOBS, PODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cluster.resources import Kind

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
MODES = ("enforce", "warn", "audit")

_ALLOWED_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"}
    | {"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_UNRESTRICTED_VOLUMES = frozenset(
    {
        "name",
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_SECCOMP_TYPES = ("RuntimeDefault", "Localhost")


def check(namespace: Json, pod: Json) -> ApiError | None:
    """The refusal of a pod, if its namespace does not allow it."""
    told = _violations(namespace, "enforce", pod)
    if told is None:
        return None
    return forbidden(PODS, name_of(pod), f'pods "{name_of(pod)}" is forbidden: violates {told}')


def warning(namespace: Json, kind: Kind, item: Json) -> str | None:
    """What a writer of a pod template is warned of; the object is stored all the same."""
    if kind not in {DAEMON_SETS, JOBS}:
        return None
    mode = "warn" if f"{PREFIX}warn" in labels_of(namespace) else "enforce"
    told = _violations(namespace, mode, item["spec"]["template"])
    return None if told is None else f"would violate {told}"


def namespace_causes(item: Json) -> Iterator[Cause]:
    """What is wrong with a namespace's labels."""
    for mode in MODES:
        level, version = f"{PREFIX}{mode}", f"{PREFIX}{mode}-version"
        labels = labels_of(item)
        if labels.get(level, LEVELS[0]) not in LEVELS:
            why = f"must be one of {', '.join(LEVELS)}"
            yield bad_value(f"metadata.labels[{level}]", labels[level], why)
        if not re.fullmatch(r"latest|v1\.(0|[1-9]\d*)", labels.get(version, "latest")):
            why = 'must be "latest" or "v1.x"'
            yield bad_value(f"metadata.labels[{version}]", labels[version], why)


def _violations(namespace: Json, mode: str, pod: Json) -> str | None:
    labels = labels_of(namespace)
    level = labels.get(f"{PREFIX}{mode}", LEVELS[0])
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    told = [told for rule in _RULES[level] if (told := rule(pod))]
    return f'PodSecurity "{level}:{version}": {", ".join(told)}' if told else None


def _host_namespaces(pod: Json) -> str | None:
    used = [f"{name}=true" for name in _HOST_NAMESPACES if pod["spec"].get(name)]
    return f"host namespaces ({', '.join(used)})" if used else None


def _host_paths(pod: Json) -> str | None:
    used = [volume["name"] for volume in pod["spec"].get("volumes") or [] if "hostPath" in volume]
    return f"hostPath volumes ({_named('volume', used)})" if used else None


def _host_ports(pod: Json) -> str | None:
    ports = {
        container["name"]: [
            str(port["hostPort"]) for port in container.get("ports") or [] if port.get("hostPort")
        ]
        for container in containers_of(pod)
    }
    users = [name for name, found in ports.items() if found]
    numbers = [number for name in users for number in ports[name]]
    uses = "uses" if len(users) == 1 else "use"
    return (
        f"hostPort ({_named('container', users)} {uses} hostPort{_s(numbers)} {', '.join(numbers)})"
        if users
        else None
    )


def _privileged(pod: Json) -> str | None:
    users = _containers(pod, lambda context: context.get("privileged") is True)
    told = f"({_named('container', users)} must not set securityContext.privileged=true)"
    return f"privileged {told}" if users else None


def _added_capabilities(pod: Json) -> str | None:
    return _capabilities(pod, "non-default capabilities", _ALLOWED_CAPABILITIES)


def _escalation(pod: Json) -> str | None:
    users = _containers(pod, lambda context: context.get("allowPrivilegeEscalation") is not False)
    told = f"({_named('container', users)} must set securityContext.allowPrivilegeEscalation=false)"
    return f"allowPrivilegeEscalation != false {told}" if users else None


def _kept_capabilities(pod: Json) -> str | None:
    keeping = _containers(pod, lambda context: "ALL" not in _listed(context, "drop"))
    if keeping:
        must = f'{_named("container", keeping)} must set securityContext.capabilities.drop=["ALL"]'
        return f"unrestricted capabilities ({must})"
    return _capabilities(pod, "unrestricted capabilities", frozenset({"NET_BIND_SERVICE"}))


def _restricted_volumes(pod: Json) -> str | None:
    kinds = {
        volume["name"]: source
        for volume in pod["spec"].get("volumes") or []
        for source in volume.keys() - _UNRESTRICTED_VOLUMES
    }
    uses = "uses" if len(kinds) == 1 else "use"
    sources = ", ".join(f'"{source}"' for source in sorted(set(kinds.values())))
    told = f"({_named('volume', [*kinds])} {uses} restricted volume type{_s(set(kinds.values()))} {sources})"
    return f"restricted volume types {told}" if kinds else None


def _may_be_root(pod: Json) -> str | None:
    whole = _context(pod["spec"]).get("runAsNonRoot")
    users = _containers(pod, lambda context: context.get("runAsNonRoot", whole) is not True)
    told = f"(pod or {_named('container', users)} must set securityContext.runAsNonRoot=true)"
    return f"runAsNonRoot != true {told}" if users else None


def _is_root(pod: Json) -> str | None:
    users = _containers(pod, lambda context: context.get("runAsUser") == 0)
    whole = ["pod"] if _context(pod["spec"]).get("runAsUser") == 0 else []
    named = " and ".join([*whole, *([_named("container", users)] if users else [])])
    return f"runAsUser=0 ({named} must not set runAsUser=0)" if named else None


def _unconfined(pod: Json) -> str | None:
    whole = _context(pod["spec"]).get("seccompProfile")
    users = _containers(
        pod, lambda context: (context.get("seccompProfile") or whole or {}).get("type") not in _SECCOMP_TYPES
    )
    must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return f"seccompProfile (pod or {_named('container', users)} {must})" if users else None


def _capabilities(pod: Json, title: str, allowed: frozenset[str]) -> str | None:
    users = _containers(pod, lambda context: not _listed(context, "add") <= allowed)
    if not users:
        return None
    added = {each for c in containers_of(pod) for each in _listed(_context(c), "add")} - allowed
    named = ", ".join(f'"{each}"' for each in sorted(added))
    return (
        f"{title} ({_named('container', users)} must not include {named} in securityContext.capabilities.add)"
    )


def _containers(pod: Json, breaks: Callable[[Json], bool]) -> list[str]:
    return [container["name"] for container in containers_of(pod) if breaks(_context(container))]


def _context(holder: Json) -> Json:
    return holder.get("securityContext") or {}


def _listed(context: Json, verb: str) -> frozenset[str]:
    return frozenset((context.get("capabilities") or {}).get(verb) or ())


def _named(noun: str, names: list[str]) -> str:
    return f"{noun}{_s(names)} " + ", ".join(f'"{name}"' for name in names)


def _s(things: object) -> str:
    return "" if len(things) == 1 else "s"  # type: ignore[arg-type]


_HOST_RULES = (_host_namespaces, _host_paths, _host_ports, _privileged)
_RULES: dict[str, tuple[Callable[[Json], str | None], ...]] = {
    "privileged": (),
    "baseline": (_added_capabilities, *_HOST_RULES),
    "restricted": (
        *_HOST_RULES,
        _escalation,
        _kept_capabilities,
        _restricted_volumes,
        _may_be_root,
        _is_root,
        _unconfined,
    ),
}
"""In the order in which Kubernetes tells them."""
