"""The catalogue: every kind of object that this cluster stores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One resource of the Kubernetes API."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As in messages: `pods`, `daemonsets.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """As in messages about bad content: `Pod`, `DaemonSet.apps`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def has_status(self) -> bool:
        """Whether its status is written through a subresource of its own."""
        return "status" in self.subresources


def _core(plural: str, kind: str, *short_names: str, subresources: tuple[str, ...] = ()) -> Kind:
    return Kind(
        group="", version="v1", plural=plural, kind=kind, short_names=short_names, subresources=subresources
    )


NAMESPACES = Kind(
    group="",
    version="v1",
    plural="namespaces",
    kind="Namespace",
    namespaced=False,
    short_names=("ns",),
    subresources=("status",),
)
NODES = Kind(
    group="",
    version="v1",
    plural="nodes",
    kind="Node",
    namespaced=False,
    short_names=("no",),
    subresources=("status",),
)
PODS = _core("pods", "Pod", "po", subresources=("log", "status"))
EVENTS = _core("events", "Event", "ev")
CONFIG_MAPS = _core("configmaps", "ConfigMap", "cm")
SECRETS = _core("secrets", "Secret")
SERVICE_ACCOUNTS = _core("serviceaccounts", "ServiceAccount", "sa")
DAEMON_SETS = Kind(
    group="apps",
    version="v1",
    plural="daemonsets",
    kind="DaemonSet",
    short_names=("ds",),
    subresources=("status",),
)
JOBS = Kind(group="batch", version="v1", plural="jobs", kind="Job", subresources=("status",))
MUTATING_WEBHOOKS = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    plural="mutatingwebhookconfigurations",
    kind="MutatingWebhookConfiguration",
    namespaced=False,
)

KINDS = (
    NAMESPACES,
    NODES,
    PODS,
    EVENTS,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    DAEMON_SETS,
    JOBS,
    MUTATING_WEBHOOKS,
)

GROUP_VERSIONS = tuple(sorted({(kind.group, kind.version) for kind in KINDS}))


def find_kind(group: str, version: str, plural: str) -> Kind | None:
    """The kind that a path names."""
    wanted = (group, version, plural)
    return next((kind for kind in KINDS if (kind.group, kind.version, kind.plural) == wanted), None)


def find_kind_of(api_version: str, kind: str) -> Kind | None:
    """The kind that an object or a reference names."""
    return next((known for known in KINDS if (known.api_version, known.kind) == (api_version, kind)), None)
