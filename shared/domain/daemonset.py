"""A plan as Kubernetes objects: the ConfigMap with agent and manifest, and the DaemonSet that runs it.

One pure function each, compared with golden files. Values reach the container as environment and
mounted files, never as text inside a command.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain import naming
from shared.domain.foreign import Json, mapping, text
from shared.domain.model import Database, Engine, Mode, StagedDatabase, WarmupPlan

Object = dict[str, object]

MOUNT = "/opt/warmup"
WORKSPACE = "/workspace"
BLAST_DIRECTORY = f"{WORKSPACE}/blast"  # ElasticBLAST mounts exactly this
# The agent gives up before the run's latest deadline, to say why; of a short run it has most, too.
_AGENT_MARGIN, _MOST_OF_A_SHORT_RUN = timedelta(minutes=2), 0.8
_GRACE_SECONDS = 10  # the agent flushes its state within two
_LARGE_POOL = 12  # nodes beyond which a start is spread: one account feeds about that many at full speed
_JITTER_SECONDS = 20
_ROOT, _NOBODY = 0, 65535  # the latter is the pause image's own
_NARROWED = "OnDelete"  # the strategy that only a narrowed DaemonSet has
# Into a patch: whatever the pods did, those that are made from now on warm.
_WARMS: Object = {
    "name": naming.INIT_CONTAINER,
    "env": [{"name": "WARMUP_MODE", "value": Mode.WARM.value}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRules:
    """What an operator sets once for all pods."""

    node_directory: str  # hostPath of the workspace
    pause_image: str
    engine: Engine
    memory_limit: str
    ca_pem: str | None  # certificates the nodes must trust besides the image's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One database of one run, ready to be written down."""

    plan: WarmupPlan
    staged: StagedDatabase
    run_id: str
    now: datetime
    rules: PodRules


def config_map(rollout: Rollout, manifest_json: str, agent: Mapping[str, str]) -> Object:
    """The immutable ConfigMap: one key per agent module, the manifest, and certificates if any.

    Its name carries a digest of its content, so that a changed one is another one.
    """
    files = {f"agent.{name}": text for name, text in sorted(agent.items())}
    files["manifest.json"] = manifest_json
    if rollout.rules.ca_pem is not None:
        files["ca.pem"] = rollout.rules.ca_pem
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:10]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{naming.daemonset_name(rollout.staged.database)}-{digest}",
            "namespace": naming.NAMESPACE,
            "labels": _labels(rollout.staged.database),
        },
        "immutable": True,
        "data": files,
    }


def daemon_set(rollout: Rollout, config_map_name: str, agent: Mapping[str, str]) -> Object:
    """The DaemonSet: an init container that warms the node, then a pause that keeps it Ready."""
    labels = _labels(rollout.staged.database)
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": naming.daemonset_name(rollout.staged.database),
            "namespace": naming.NAMESPACE,
            "labels": labels,
            # Always there, so that the next run's writing takes back what the last one's end wrote.
            "annotations": {**_annotations(rollout), naming.LEFT_OUT_ANNOTATION: "0"},
        },
        "spec": {
            "selector": {"matchLabels": labels},
            # The default of one node at a time would take a day for a pool; a warm node is Ready in seconds.
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0},
            },
            "revisionHistoryLimit": 1,
            "template": {
                # The run id in the template is what makes every node look again.
                "metadata": {"labels": labels, "annotations": _annotations(rollout)},
                "spec": _pod(rollout, config_map_name, sorted(agent)),
            },
        },
    }


def warming() -> Object:
    """A strategic merge patch: pods that verified warm nodes that join later; others stay as they are."""
    return {"spec": {"template": {"spec": {"initContainers": [_WARMS]}}}}


def narrowing(nodes: Sequence[str], left_out: int) -> Object:
    """A strategic merge patch: pods stay on nodes that are warm, and nowhere else.

    `OnDelete` leaves Ready pods alone though their template changes. One that is made anew, since its node
    was restarted, warms: a node that verified and lost its disk waits quietly for the next start.
    """
    named: list[Object] = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        for node in sorted(nodes)
    ]
    return {
        "metadata": {"annotations": {naming.LEFT_OUT_ANNOTATION: str(left_out)}},
        "spec": {
            "updateStrategy": {"type": _NARROWED, "rollingUpdate": None},
            "template": {"spec": {"affinity": _required(named), "initContainers": [_WARMS]}},
        },
    }


def is_narrowed(daemonset: Json) -> bool:
    """Whether it was narrowed already since it was last applied."""
    return text(mapping(mapping(daemonset, "spec"), "updateStrategy"), "type") == _NARROWED


def _labels(database: Database) -> dict[str, str]:
    return {naming.APP_LABEL: naming.APP_VALUE, naming.DATABASE_LABEL: naming.label_value(database)}


def _annotations(rollout: Rollout) -> dict[str, str]:
    return {
        naming.RUN_ANNOTATION: rollout.run_id,
        naming.DATABASE_ANNOTATION: rollout.staged.database.path,
        naming.GENERATION_ANNOTATION: rollout.staged.generation,
        naming.SOURCE_VERSION_ANNOTATION: rollout.staged.source_version or "",
        naming.MOLECULE_ANNOTATION: rollout.staged.molecule,
    }


def _pod(rollout: Rollout, config_map_name: str, modules: list[str]) -> Object:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "affinity": _affinity(rollout),
        "tolerations": [_toleration(taint) for taint in rollout.plan.selection.tolerated_taints],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [_download(rollout)],
        "containers": [_pause(rollout.rules)],
        "volumes": [
            {
                "name": "workspace",
                "hostPath": {"path": rollout.rules.node_directory, "type": "DirectoryOrCreate"},
            },
            {"name": "agent", "configMap": {"name": config_map_name, "items": _items(rollout, modules)}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }


def _items(rollout: Rollout, modules: list[str]) -> list[Object]:
    items: list[Object] = [{"key": f"agent.{name}", "path": f"agent/{name}"} for name in modules]
    items.append({"key": "manifest.json", "path": "manifest.json"})
    if rollout.rules.ca_pem is not None:
        items.append({"key": "ca.pem", "path": "ca.pem"})
    return items


def _affinity(rollout: Rollout) -> Object:
    """The targeted pools, in words that hold for nodes that join later too."""
    selection = rollout.plan.selection
    rules: list[Object] = [
        {"key": key, "operator": "In", "values": [value]} for key, value in selection.labels
    ]
    rules.append({"key": "type", "operator": "NotIn", "values": ["virtual-kubelet"]})
    if selection.excluded_pools:
        pools = list(selection.excluded_pools)
        rules.append({"key": "kubernetes.azure.com/agentpool", "operator": "NotIn", "values": pools})
    return _required([{"matchExpressions": rules}])


def _required(terms: Sequence[Object]) -> Object:
    required = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def _toleration(taint: str) -> Object:
    pair, _, effect = taint.rpartition(":")
    key, _, value = pair.partition("=")
    if not value:
        return {"key": key, "operator": "Exists", "effect": effect}
    return {"key": key, "operator": "Equal", "value": value, "effect": effect}


def _download(rollout: Rollout) -> Object:
    return {
        "name": naming.INIT_CONTAINER,
        "image": rollout.plan.image,
        "command": ["python3", "-B", "-m", "agent"],
        "args": [],  # said, since an older dashboard's DaemonSet of this name may have some, which would stay
        "workingDir": MOUNT,
        "env": _environment(rollout),
        # A pod keeps the larger request of its containers for all its life: small ones, room in the limit.
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": rollout.rules.memory_limit},
        },
        "securityContext": _locked_down(_ROOT),
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "workspace", "mountPath": WORKSPACE},
            {"name": "agent", "mountPath": MOUNT, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own emptyDir
        ],
    }


def _pause(rules: PodRules) -> Object:
    return {
        "name": "pause",
        "image": rules.pause_image,
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "16Mi"}},
        "securityContext": _locked_down(_NOBODY),
    }


def _locked_down(user: int) -> Object:
    """A user, whatever the image says, and nothing that a user may not do.

    The agent is root, since the workspace is root's. Without capabilities root is bound by a file's mode like
    anybody: that is enough where root made the folder, or who made it lets all write, as ElasticBLAST does.
    """
    return {
        "runAsUser": user,
        "runAsGroup": user,
        "runAsNonRoot": user != _ROOT,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _environment(rollout: Rollout) -> list[Object]:
    plan = rollout.plan
    values = {
        "WARMUP_RUN_ID": rollout.run_id,
        "WARMUP_MODE": plan.mode.value,
        "WARMUP_MANIFEST": f"{MOUNT}/manifest.json",
        "WARMUP_DIRECTORY": BLAST_DIRECTORY,
        **({} if plan.account is None else {"WARMUP_BLOB_ENDPOINT": plan.account.blob_endpoint}),
        "WARMUP_ENGINE": rollout.rules.engine.value,
        "WARMUP_DEADLINE": _agent_deadline(rollout).isoformat(timespec="seconds"),
        "WARMUP_START_JITTER_SECONDS": str(_JITTER_SECONDS if plan.node_count > _LARGE_POOL else 0),
        "AZURE_CLIENT_ID": plan.kubelet.client_id,
    }
    if plan.max_mbps_per_node is not None:
        values["WARMUP_MAX_MBPS"] = str(plan.max_mbps_per_node)
    if rollout.rules.ca_pem is not None:
        values["SSL_CERT_FILE"] = f"{MOUNT}/ca.pem"
    node: Object = {"name": "WARMUP_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    plain: list[Object] = [{"name": name, "value": value} for name, value in values.items()]
    return [node, *plain]


def _agent_deadline(rollout: Rollout) -> datetime:
    """Before the latest that the run may last: until then it is the run that judges, by the measured rate."""
    latest = rollout.plan.latest_deadline or rollout.plan.deadline
    return max(latest - _AGENT_MARGIN, rollout.now + (latest - rollout.now) * _MOST_OF_A_SHORT_RUN)
