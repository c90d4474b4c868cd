"""Mutating webhooks, by a program of the test's own that serves one over TLS."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kubernetes.client import ApiException
from testkit.cluster import Cluster
from testkit.workloads import Clients, daemon_set, pod, pod_spec, raw, shell, wait_for

from local.certificates import Certificates, ensure_certificates

Json = dict[str, Any]
Answering = Callable[[Json], Json]


@contextmanager
def webhook(certificates: Certificates, answering: Answering) -> Iterator[str]:
    """Serve AdmissionReviews; the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["content-length"])))
            response = {"uid": review["request"]["uid"], **answering(review["request"])}
            body = json.dumps({**review, "response": response}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Tests print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/inject"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return ensure_certificates(tmp_path, "webhook")


@contextmanager
def configured(
    cluster: Cluster, namespace: str, url: str, certificates: Certificates, **more: Any
) -> Iterator[None]:
    configuration = {
        "metadata": {"name": f"for-{namespace}"},
        "webhooks": [
            {
                "name": "inject.example.org",
                "clientConfig": {
                    "url": url,
                    "caBundle": base64.b64encode(certificates.authority.read_bytes()).decode(),
                },
                "rules": [
                    {
                        "operations": ["CREATE"],
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "resources": ["pods"],
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                **more,
            }
        ],
    }
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    assert cluster.ask("POST", path, configuration).code == 201
    try:
        yield
    finally:
        assert cluster.ask("DELETE", f"{path}/for-{namespace}").code == 200


def labelling(_: Json) -> Json:
    operations = [{"op": "add", "path": "/metadata/labels/injected", "value": "yes"}]
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": patch}


def test_the_pods_of_a_daemon_set_are_changed_on_their_way(
    cluster: Cluster, k8s: Clients, namespace: str, certificates: Certificates
) -> None:
    with (
        webhook(certificates, labelling) as url,
        configured(cluster, namespace, url, certificates),
    ):
        k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", pod_spec([shell("true")])))
        wait_for(
            lambda: (
                len(raw(k8s.core.list_namespaced_pod, namespace, label_selector="injected=yes")["items"]) == 3
            ),
            "three changed pods",
        )


def test_a_webhook_that_refuses_is_told_in_its_own_words(
    cluster: Cluster, k8s: Clients, namespace: str, certificates: Certificates
) -> None:
    status = {"code": 403, "reason": "Forbidden", "message": "not today"}
    with (
        webhook(certificates, lambda _: {"allowed": False, "status": status}) as url,
        configured(cluster, namespace, url, certificates),
        pytest.raises(ApiException) as caught,
    ):
        k8s.core.create_namespaced_pod(namespace, pod("x", pod_spec([])))

    told = json.loads(caught.value.body)
    assert (told["code"], told["reason"]) == (403, "Forbidden")
    assert told["message"] == 'admission webhook "inject.example.org" denied the request: not today'


@pytest.mark.parametrize(("policy", "code"), [("Fail", 500), ("Ignore", 201)])
def test_a_webhook_that_nobody_serves_fails_or_is_ignored_as_it_says(
    cluster: Cluster, namespace: str, certificates: Certificates, policy: str, code: int
) -> None:
    with configured(cluster, namespace, "https://127.0.0.1:1/", certificates, failurePolicy=policy):
        answer = cluster.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod("x", pod_spec([])))

    assert answer.code == code
    if code == 500:
        assert answer.body["message"].startswith(
            'Internal error occurred: failed calling webhook "inject.example.org": failed to call webhook'
        )


def test_a_webhook_without_tls_is_refused(cluster: Cluster, namespace: str) -> None:
    webhooks = [
        {
            "name": "plain.example.org",
            "clientConfig": {"url": "http://127.0.0.1/"},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
    ]
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    answer = cluster.ask("POST", path, {"metadata": {"name": namespace}, "webhooks": webhooks})

    assert answer.code == 422
    assert "'https' is the only allowed URL scheme" in answer.body["message"]
