"""A given kubeconfig: read, judged and made whole, so that it can be handed out as a user credential.

What is handed out names no file and starts no program, as a managed cluster's does not. What cannot be made
so is refused with what to do.
"""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client import ApiException

ASK_SECONDS = 10.0

_FILES = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}
_POOL_SIZE_LABEL = "node.kubernetes.io/instance-type"

Json = dict[str, Any]


class ClusterError(Exception):
    """The cluster cannot be used; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What ARM tells of a cluster."""

    node_names: tuple[str, ...]
    version: str
    vm_size: str
    server: str


def read(path: str) -> str:
    """The kubeconfig in this file, with the content of the files that it names; raises ClusterError."""
    if not path:
        raise ClusterError("CLUSTER=kubeconfig needs KUBECONFIG, the path of a kubeconfig")
    if ":" in path:
        raise ClusterError(f"KUBECONFIG names several files ({path}); {_merged('the one of them')}")
    file = Path(path).expanduser()
    try:
        cluster, user = _current(yaml.safe_load(file.read_text()))
    except OSError as unread:
        raise ClusterError(f"KUBECONFIG cannot be read: {unread.strerror}: {file}") from unread
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as odd:
        raise ClusterError(
            f"{file} is no kubeconfig ({odd!r:.200}); `kubectl config view` shows one"
        ) from odd
    _judge(file, cluster, user)
    return _whole(_inlined(file, cluster), _inlined(file, user))


def facts(kubeconfig: str) -> Facts:
    """What its cluster says of itself; raises ClusterError when it does not answer, or not to this user."""
    with opened(kubeconfig) as api:
        server = api.configuration.host
        try:
            version = client.VersionApi(api).get_code(_request_timeout=ASK_SECONDS)
            nodes = client.CoreV1Api(api).list_node(_request_timeout=ASK_SECONDS).items
        except ApiException as refused:
            raise ClusterError(
                f"the API server {server} refuses to list its nodes ({refused.status} {refused.reason}); "
                "give a kubeconfig whose user may"
            ) from refused
        except (urllib3.exceptions.HTTPError, OSError) as silent:
            raise ClusterError(
                f"the API server {server} cannot be reached ({_short(silent)}); "
                "start it, or correct KUBECONFIG"
            ) from silent
    if not nodes:
        raise ClusterError(f"the cluster at {server} has no node; add one")
    sizes = Counter((node.metadata.labels or {}).get(_POOL_SIZE_LABEL, "unknown") for node in nodes)
    return Facts(
        node_names=tuple(sorted(node.metadata.name for node in nodes)),
        version=f"{version.major}.{version.minor.rstrip('+')}",
        vm_size=sizes.most_common(1)[0][0],
        server=server.removeprefix("https://").partition("/")[0].rpartition(":")[0],
    )


def opened(kubeconfig: str) -> Any:
    """The official client for it; close it."""
    settings = client.Configuration()
    settings.retries = False
    loader = config.kube_config.KubeConfigLoader(yaml.safe_load(kubeconfig))
    loader.load_and_set(settings)
    return client.ApiClient(settings)


def _current(document: Json) -> tuple[Json, Json]:
    """Cluster and user of the context that kubectl would use."""
    contexts = {each["name"]: each["context"] for each in document["contexts"]}
    name = document.get("current-context") or (next(iter(contexts)) if len(contexts) == 1 else None)
    if name not in contexts:
        raise ClusterError(
            f"KUBECONFIG has the contexts {', '.join(contexts)}, and none is current; {_merged('NAME')}"
        )
    clusters = {each["name"]: each["cluster"] for each in document["clusters"]}
    users = {each["name"]: each["user"] for each in document.get("users") or []}
    context = contexts[name]
    return clusters[context["cluster"]], users.get(context.get("user"), {}) or {}


def _merged(context: str) -> str:
    return f"write one out: `kubectl config view --minify --flatten --context={context} > FILE`"


def _judge(file: Path, cluster: Json, user: Json) -> None:
    server = str(cluster.get("server"))
    if not server.startswith("https://"):
        raise ClusterError(f"the server in {file} is {server[:80]!r}; the app speaks to https servers only")
    for key in ("insecure-skip-tls-verify", "proxy-url", "tls-server-name"):
        if cluster.get(key):
            raise ClusterError(f"{file} says {key}, which no managed cluster's kubeconfig does; remove it")
    signs_in = {"token", "tokenFile"} & user.keys() or {
        "client-certificate",
        "client-certificate-data",
    } & user.keys()
    if not signs_in:
        ways = ", ".join(sorted(user)) or "nothing"
        raise ClusterError(
            f"the user in {file} signs in by {ways}; give one with a token or a certificate, "
            "such as a service account's (`kubectl create token NAME`)"
        )


def _inlined(file: Path, entry: Json) -> Json:
    whole = {key: value for key, value in entry.items() if key not in {*_FILES, "tokenFile"}}
    try:
        for key, data_key in _FILES.items():
            if key in entry:
                content = (file.parent / entry[key]).read_bytes()
                whole.setdefault(data_key, base64.b64encode(content).decode())
        if "tokenFile" in entry:
            whole["token"] = (file.parent / entry["tokenFile"]).read_text().strip()
    except OSError as unread:
        raise ClusterError(
            f"{file} names {unread.filename}, which cannot be read: {unread.strerror}"
        ) from unread
    return whole


def _whole(cluster: Json, user: Json) -> str:
    name = "given"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )


def _short(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).rpartition(": ")[2][:200]
