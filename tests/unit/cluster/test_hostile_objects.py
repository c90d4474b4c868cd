"""What passes the rules must not break what reads it: controllers and nodes look at fields without asking."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from local.cluster.controllers import sync
from local.cluster.failures import ApiError
from local.cluster.nodes import statuses
from local.cluster.nodes.environment import ConfigError, environment_of
from local.cluster.nodes.volumes import MountError, VolumeFolders, mounts_of, set_up_volumes
from local.cluster.nodestates import new_node
from local.cluster.objects import containers_of, utc_now
from local.cluster.resources import DAEMON_SETS, NAMESPACES, NODES, PODS, Kind
from local.cluster.retrying import Retries
from local.cluster.store import Store
from local.cluster.writing import Place, create, replace

Json = dict[str, Any]

JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "junk", 0, -1, True, [], ["x"], [{}], {}, {"x": "y"}, "1Gi", "100%"]
)

POD_SPEC = {
    "containers": [
        {"name": "c", "image": "i", "command": ["true"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    ],
    "initContainers": [
        {
            "name": "i",
            "image": "i",
            "env": [
                {"name": "A", "value": "$(B)"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "envFrom": [{"configMapRef": {"name": "m", "optional": True}}],
            "resources": {"requests": {"memory": "1Mi"}, "limits": {"memory": "1Gi"}},
            "securityContext": {"capabilities": {"drop": ["ALL"]}},
        }
    ],
    "volumes": [
        {"name": "v", "emptyDir": {}},
        {"name": "m", "configMap": {"name": "m", "items": [{"key": "k", "path": "p"}], "optional": True}},
        {"name": "d", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ],
    "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute"}],
    "nodeSelector": {},
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]}]
            }
        }
    },
}
POD = {
    "metadata": {
        "name": "p",
        "labels": {"a": "b"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "u", "controller": True}],
    },
    "spec": POD_SPEC,
}
DAEMON_SET = {
    "metadata": {"name": "d", "annotations": {"deprecated.daemonset.template.generation": "1"}},
    "spec": {
        "selector": {"matchLabels": {"app": "d"}, "matchExpressions": [{"key": "app", "operator": "Exists"}]},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": POD_SPEC},
    },
}
NODE = {
    **new_node("n"),
    "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}], "unschedulable": False},
}


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every part of an object."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in parts for found in places_in(inner, (*path, key)))]


@st.composite
def spoilt(draw: st.DrawFn, item: Json) -> Json:
    """The object with one or two of its parts replaced by junk, or taken out."""
    result = copy.deepcopy(item)
    for _ in range(draw(st.integers(1, 2))):
        *parents, last = draw(st.sampled_from(places_in(result)[1:]))
        parent = result
        for step in parents:
            parent = parent[step]
        if draw(st.booleans()):
            parent[last] = copy.deepcopy(draw(JUNK))
        else:
            del parent[last]
    return result


def fresh_store() -> Store:
    store = Store()
    create(store, Place(kind=NAMESPACES), {"metadata": {"name": "default"}})
    store.create(NODES, new_node("n"))
    return store


def offered(store: Store, kind: Kind, body: Json) -> Json | None:
    """What became of an object that was sent: kept, or refused with a reason."""
    namespace = "default" if kind.namespaced else ""
    try:
        return create(store, Place(kind=kind, namespace=namespace), body)
    except ApiError as refusal:
        assert refusal.code in {400, 403, 422}, refusal.message  # noqa: PT017 - most bodies are refused
        return None


@settings(max_examples=300, deadline=None)
@given(body=spoilt(POD))
def test_no_pod_that_is_accepted_breaks_its_node(body: Json) -> None:
    store = fresh_store()
    pod = offered(store, PODS, body)
    if pod is None:
        return
    asyncio.run(sync(store, Retries()))
    for container in containers_of(pod):
        with contextlib.suppress(ConfigError):
            environment_of(store, pod, container, {})
    states = {container["name"]: statuses.initial(container) for container in containers_of(pod)}
    assert statuses.pod_status(pod, states, utc_now(), sandbox=True)["phase"] == "Pending"


@settings(max_examples=150, deadline=None)
@given(body=spoilt(POD))
def test_no_volume_that_is_accepted_breaks_its_node(body: Json, tmp_path_factory: Any) -> None:
    store = fresh_store()
    pod = offered(store, PODS, body)
    if pod is None:
        return
    root: Path = tmp_path_factory.mktemp("node")
    with contextlib.suppress(MountError):
        volumes = set_up_volumes(store, pod, VolumeFolders(node_root=root, own=root / "own"))
        for container in containers_of(pod):
            mounts_of(container, volumes)


@settings(max_examples=200, deadline=None)
@given(body=spoilt(DAEMON_SET))
def test_no_daemon_set_that_is_accepted_breaks_the_controllers(body: Json) -> None:
    store = fresh_store()
    if offered(store, DAEMON_SETS, body) is None:
        return
    for _ in range(3):
        asyncio.run(sync(store, Retries()))
    version = store.version
    asyncio.run(sync(store, Retries()))
    assert store.version == version


@settings(max_examples=200, deadline=None)
@given(body=spoilt(NODE))
def test_no_node_that_is_accepted_breaks_the_controllers(body: Json) -> None:
    store = fresh_store()
    create(store, Place(kind=DAEMON_SETS, namespace="default"), DAEMON_SET)
    create(store, Place(kind=PODS, namespace="default"), POD)
    known = store.get(NODES, "", "n")
    with contextlib.suppress(ApiError):
        replace(store, Place(kind=NODES, name="n"), {**body, "metadata": known["metadata"]})
        replace(store, Place(kind=NODES, name="n", subresource="status"), {**body, "metadata": {}})
    for _ in range(2):
        asyncio.run(sync(store, Retries()))
