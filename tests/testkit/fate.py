"""What befalls a stack: nodes and Azure, changed behind the app's back through the stack's own controls."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from testkit.waiting import wait_until

from local import kubeconfigs
from local.wiring import DATA_ACCOUNT, RESOURCE_GROUP, SUBSCRIPTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.places import Places
    from local.wiring import Wiring

_TIMEOUT_SECONDS = 30.0
_GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
CLUSTERS = f"{_GROUP}/providers/Microsoft.ContainerService/managedClusters"
ACCOUNT = f"{_GROUP}/providers/Microsoft.Storage/storageAccounts/{DATA_ACCOUNT}"
OPENING_AND_CLOSING = [f"PATCH {ACCOUNT}"] * 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """The hands of an operator, and of bad luck."""

    wiring: Wiring

    @property
    def places(self) -> Places:
        """Where the stack lies."""
        return self.wiring.places

    def kubernetes(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API server, as whom the kubeconfig names."""
        with kubeconfigs.opened(self.places.kubeconfig.read_text()) as api:
            answer = api.call_api(
                path,
                method,
                header_params={"Content-Type": "application/json", "Accept": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
            )
            return json.loads(answer.data)

    def cluster(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the control of the embedded cluster."""
        server = f"https://127.0.0.1:{self.wiring.ports.cluster}"
        tokens = json.loads((self.places.cluster / "cluster/tokens.json").read_text())
        return self._send(method, f"{server}/control/{path}", body, str(tokens["control"]))

    def host(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the control of the embedded Functions host."""
        return self._send(method, f"{self.wiring.app_url}/{path}", body)

    def azure(self, method: str, path: str, body: Any = None) -> Any:
        """Ask Azure's control."""
        endpoints = json.loads((self.places.root / "azure-ready.json").read_text())
        return self._send(method, f"{endpoints['control']}/{path}", body)

    def arm(self, method: str, path: str, version: str, body: Any = None) -> Any:
        """Ask ARM, as an operator at the portal would."""
        arm = f"https://127.0.0.1:{self.wiring.ports.arm}"
        return self._send(method, f"{arm}{path}?api-version={version}", body, self._arm_token(arm))

    def set_network(self, **properties: Any) -> None:
        """Change who may reach the databases' account, behind every run's back; return once it is logged."""
        before = len(self.arm_writes())
        self.arm("PATCH", ACCOUNT, "2023-05-01", {"properties": properties})
        wait_until(lambda: len(self.arm_writes()) > before)

    def arm_writes(self) -> list[str]:
        """Every request so far that changed something in ARM."""
        if not self.places.arm_requests.exists():
            return []
        entries = map(json.loads, self.places.arm_requests.read_text().splitlines())
        return [
            f"{each['method']} {each['path']}"
            for each in entries
            if each["area"] == "arm" and each["method"] in ("PUT", "PATCH", "DELETE")
        ]

    def network_changes(self, since: int) -> list[str]:
        """Those of its writes since then that open accounts, or close them."""
        return [write for write in self.arm_writes()[since:] if write.startswith("PATCH")]

    def pods(self) -> list[dict[str, Any]]:
        """Every pod there is."""
        return list(self.kubernetes("GET", "/api/v1/namespaces/default/pods")["items"])

    def written_objects(self) -> list[dict[str, Any]]:
        """What the app writes into Kubernetes; pods are made of it by the cluster."""
        kinds = ("apis/apps/v1/namespaces/default/daemonsets", "api/v1/namespaces/default/configmaps")
        return [each for kind in kinds for each in self.kubernetes("GET", f"/{kind}")["items"]]

    @contextmanager
    def namespace_labelled(self, key: str, value: str) -> Iterator[None]:
        """Label the namespace of the warm-ups for a while."""
        path = "/api/v1/namespaces/default"
        namespace = self.kubernetes("GET", path)
        labels = namespace["metadata"]["labels"]
        self.kubernetes("PUT", path, {"metadata": {"name": "default", "labels": {**labels, key: value}}})
        try:
            yield
        finally:
            self.kubernetes("PUT", path, {"metadata": {"name": "default", "labels": labels}})

    @contextmanager
    def safeguards(self, policy: str) -> Iterator[None]:
        """Put that namespace under a policy for a while."""
        self.cluster("PUT", "safeguards", {"policy": policy})
        try:
            yield
        finally:
            self.cluster("PUT", "safeguards", {"policy": None})

    @contextmanager
    def no_images(self) -> Iterator[None]:
        """No registry has anything for a while."""
        file = self.places.root / "images.json"
        known = file.read_text()
        file.write_text("[]")
        try:
            yield
        finally:
            file.write_text(known)

    @contextmanager
    def node(self, name: str, *, change: dict[str, Any], back: dict[str, Any]) -> Iterator[None]:
        """Change a node for a while."""
        self.cluster("PATCH", f"nodes/{name}", change)
        try:
            yield
        finally:
            self.cluster("PATCH", f"nodes/{name}", back)

    @contextmanager
    def full_disk(self, node: str, megabytes: int) -> Iterator[None]:
        """Give a node a tiny disk, its old one hidden underneath, for a while."""
        workspace = self.places.workspace(node)
        workspace.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(workspace)], check=True
        )
        try:
            yield
        finally:
            # Lazily: a pod that is still ending may look at it.
            subprocess.run(["umount", "--lazy", str(workspace)], check=True)

    def _arm_token(self, arm: str) -> str:
        query = urlencode({"resource": arm, "api-version": "2019-08-01"})
        request = urllib.request.Request(
            f"http://{self.wiring.address}:{self.wiring.ports.identity}/msi/token?{query}",
            headers={"X-IDENTITY-HEADER": (self.places.tls / "identity-header").read_text()},
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - loopback
            return str(json.load(answer)["access_token"])

    def _send(self, method: str, url: str, body: Any, token: str = "") -> Any:
        request = urllib.request.Request(  # noqa: S310 - loopback
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                **({"Authorization": f"Bearer {token}"} if token else {}),
            },
        )
        trust = ssl.create_default_context(cafile=self.places.tls / "ca.pem")
        context = trust if url.startswith("https") else None
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS, context=context) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read() or b"null")
