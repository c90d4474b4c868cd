"""A given cluster's pods are told who they are by a webhook of the stack's.

It is put there at the start, proven, and taken away at the end; nothing else of the cluster is touched.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import urllib3
from kubernetes import client
from kubernetes.client import ApiException

from local import kubeconfigs
from local.kubeconfigs import ASK_SECONDS, ClusterError

if TYPE_CHECKING:
    from pathlib import Path

# The label of every pod of the app; no other pod is looked at.
APP_LABELS = {"app": "db-warmup"}
NAMESPACE = "default"

Json = dict[str, Any]


def join(kubeconfig: Path, *, url: str, authority: Path) -> None:
    """Put the webhook there and see that it works; raises ClusterError with what to do."""
    try:
        with kubeconfigs.opened(kubeconfig.read_text()) as api:
            webhooks = client.AdmissionregistrationV1Api(api)
            _remove(webhooks, name_of_webhook(kubeconfig))
            wanted = _configuration(name_of_webhook(kubeconfig), url, authority)
            webhooks.create_mutating_webhook_configuration(wanted, _request_timeout=ASK_SECONDS)
            pod = client.CoreV1Api(api).create_namespaced_pod(
                NAMESPACE, _probe(), dry_run="All", _request_timeout=ASK_SECONDS
            )
    except ApiException as refused:
        raise ClusterError(_why(refused, url)) from refused
    except (urllib3.exceptions.HTTPError, OSError) as silent:
        raise ClusterError(
            f"the cluster stopped answering while the stack's webhook was tried: {silent}"
        ) from silent
    if "IDENTITY_ENDPOINT" not in {variable.name for variable in pod.spec.containers[0].env or []}:
        raise ClusterError(
            "the cluster does not ask webhooks, so that its pods would have no identity; "
            "switch its MutatingAdmissionWebhook on"
        )


def leave(kubeconfig: Path) -> bool:
    """Take the webhook away; False when the cluster could not be asked to."""
    try:
        with kubeconfigs.opened(kubeconfig.read_text()) as api:
            _remove(client.AdmissionregistrationV1Api(api), name_of_webhook(kubeconfig))
    except (ApiException, urllib3.exceptions.HTTPError, OSError):
        return False
    return True


def name_of_webhook(kubeconfig: Path) -> str:
    """What its configuration is called: two stacks on one cluster have one each."""
    return f"laptop-stack-{hashlib.sha256(str(kubeconfig).encode()).hexdigest()[:8]}"


def _remove(webhooks: Any, name: str) -> None:
    try:
        webhooks.delete_mutating_webhook_configuration(name, _request_timeout=ASK_SECONDS)
    except ApiException as refused:
        if refused.status != 404:  # noqa: PLR2004 - HTTP's own word: it is gone
            raise


def _configuration(name: str, url: str, authority: Path) -> Json:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    bundle = base64.b64encode(authority.read_bytes()).decode()
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": "identity.laptop.stack",
                "clientConfig": {"url": url, "caBundle": bundle},
                "rules": [rule],
                "objectSelector": {"matchLabels": APP_LABELS},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
            }
        ],
    }


def _probe() -> Json:
    container = {"name": "probe", "image": "probe"}
    metadata = {"generateName": "laptop-stack-probe-", "labels": APP_LABELS}
    return {"metadata": metadata, "spec": {"containers": [container]}}


def _why(refused: ApiException, url: str) -> str:
    told = f"{refused.status} {refused.reason}: {str(refused.body)[:256]}"
    if "failed calling webhook" in str(refused.body):
        return (
            f"the cluster's API server cannot call {url} ({told}); "
            "set STACK_ADDRESS to an address of this machine that the cluster reaches"
        )
    if refused.status == 403:  # noqa: PLR2004 - HTTP's own word
        return (
            f"the user of KUBECONFIG may not put the stack's webhook there ({told}); "
            "give one that may write mutatingwebhookconfigurations and create pods"
        )
    return f"the cluster refuses the stack's webhook ({told})"
