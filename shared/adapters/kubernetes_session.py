"""Sessions with API servers: signed in through ARM, kept for minutes, dropped at the first 401.

One thread signs in to a cluster; the others wait a little for it, and none tries again what has just failed.
The Kubernetes API directly, never `begin_run_command`, which is root on the far side and takes a minute.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import Any, cast

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException

from shared.adapters.azure_clients import CONNECT_SECONDS, READ_SECONDS, RETRIES, AzureClients
from shared.adapters.errors import Fault, RefusedError, calling
from shared.adapters.kubeconfig import Access, KubeconfigError, parse_kubeconfig, tls_context
from shared.domain.model import Cluster
from shared.domain.refusals import Reason, Refusal
from shared.ports import PassingError

# The application that AKS clusters take Entra tokens for; the same in every tenant.
_AKS_SERVER_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
_KEPT_SECONDS = 300  # less than any token lives, so that a withdrawn right acts soon
_FAILURE_KEPT_SECONDS = 10  # a frozen ARM holds one thread for a minute, not each of the next dozen
_OTHERS_WAIT_SECONDS = 6  # for a thread that is signing in: what a dashboard's card has patience for
_CLUSTERS = 64  # whose sessions are kept; names that nobody has are asked for too
_PAGE = 250  # items; what API servers answer in well under a second
_PARALLEL_CONNECTIONS = 8
_LONGEST_RETRY_AFTER_SECONDS = 10
_VERBS = frozenset({"GET", "PATCH", "DELETE"})  # all that is used here may be repeated
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

Json = Mapping[str, Any]
Query = Sequence[tuple[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request to an API server."""

    path: str
    method: str = "GET"
    query: Query = ()
    body: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    read_seconds: int = READ_SECONDS


class KubernetesSessions:
    """Clients of API servers, by cluster; threads share them."""

    def __init__(self, clients: AzureClients, page: int = _PAGE) -> None:
        """Keep who signs in; nothing is contacted before the first call."""
        self._clients = clients
        self._page = page
        self._lock = Lock()
        self._slots: OrderedDict[str, _Slot] = OrderedDict()

    def send(self, cluster: Cluster, ask: Ask) -> bytes:
        """Ask once, and once more with a new session where the old one is no longer accepted."""
        client = self._client(cluster)
        try:
            return _send(client, ask)
        except ApiException as refused:
            if refused.status != HTTPStatus.UNAUTHORIZED:
                raise
        self._slot(cluster).drop(client)
        return _send(self._client(cluster), ask)

    def read(self, cluster: Cluster, ask: Ask) -> Json:
        """An object; whoever answers anything else stands in the API server's place, for now."""
        text = self.send(cluster, ask)
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise ApiException(status=HTTPStatus.BAD_GATEWAY, reason="the answer was no JSON object")
        return answer

    def items(self, cluster: Cluster, path: str, query: Query = ()) -> list[Json]:
        """A whole list, page by page; begun once more where it grew too old between two pages."""
        try:
            return self._pages(cluster, path, query)
        except ApiException as expired:
            if expired.status != HTTPStatus.GONE:
                raise
        return self._pages(cluster, path, query)

    def _pages(self, cluster: Cluster, path: str, query: Query) -> list[Json]:
        found: list[Json] = []
        more = ""
        while True:
            paging: Query = [*query, ("limit", self._page), *([("continue", more)] if more else [])]
            page = self.read(cluster, Ask(path=path, query=paging))
            found.extend(page.get("items") or ())
            more = str((page.get("metadata") or {}).get("continue") or "")
            if not more:
                return found

    def _client(self, cluster: Cluster) -> ApiClient:
        slot = self._slot(cluster)
        if not slot.lock.acquire(timeout=_OTHERS_WAIT_SECONDS):
            raise PassingError(f"signing in to cluster {cluster.name!r} is taking long")
        try:
            return slot.client_now() or self._signed_in(cluster, slot)
        finally:
            slot.lock.release()

    def _signed_in(self, cluster: Cluster, slot: "_Slot") -> ApiClient:
        """A silent ARM, or no token, is never told as silence of the API server: nobody asked that one."""
        try:
            client = self._sign_in(cluster)
        except PassingError as failure:
            slot.keep_failure(str(failure))
            raise PassingError(str(failure)) from failure
        slot.keep(client)
        return client

    def _slot(self, cluster: Cluster) -> "_Slot":
        """One for each cluster, however a caller spells it; the one that is unused for longest goes first."""
        key = arm_id(cluster).lower()
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > _CLUSTERS:
                self._slots.popitem(last=False)
            return slot

    def _sign_in(self, cluster: Cluster) -> ApiClient:
        with calling(
            f"signing in to cluster {cluster.name!r}", lambda fault: may_not_sign_in(cluster, fault)
        ):
            found = self._clients.clusters(cluster.subscription_id).managed_clusters
            answer = found.list_cluster_user_credentials(cluster.resource_group, cluster.name)
            text = bytes(answer.kubeconfigs[0].value or b"") if answer.kubeconfigs else b""
            try:
                access = parse_kubeconfig(text)
                token = self._clients.token(_AKS_SERVER_SCOPE) if access.wants_entra_token else access.token
                return _api_client(access, token)
            except KubeconfigError as unfit:
                raise RefusedError(_unfit(cluster, str(unfit))) from unfit


class _Slot:
    """One cluster's client, or why there is none, and how long that holds; used while holding its lock."""

    def __init__(self) -> None:
        self.lock = Lock()
        self._client: ApiClient | None = None
        self._failure = ""
        self._until = 0.0

    def client_now(self) -> ApiClient | None:
        """The client, None when it is time to sign in; raises PassingError where that failed lately."""
        if time.monotonic() >= self._until:
            return None
        if self._failure:
            raise PassingError(self._failure)
        return self._client

    def keep(self, client: ApiClient) -> None:
        """Use a client for some minutes."""
        self._client, self._failure, self._until = client, "", time.monotonic() + _KEPT_SECONDS

    def keep_failure(self, why: str) -> None:
        """Try again in some seconds, not at once."""
        self._client, self._failure, self._until = None, why, time.monotonic() + _FAILURE_KEPT_SECONDS

    def drop(self, client: ApiClient) -> None:
        """Forget a client, unless another thread has replaced it already."""
        with self.lock:
            if self._client is client:
                self._client = None


def may_not_sign_in(cluster: Cluster, fault: Fault) -> Refusal:
    """What ARM's refusal of a cluster means."""
    if fault.status == HTTPStatus.NOT_FOUND:
        return Refusal(
            reason=Reason.CLUSTER_NOT_FOUND,
            message=f"cluster {cluster.name!r} is not in resource group {cluster.resource_group!r} ({fault})",
            remedy="check its name, resource group and subscription",
        )
    return Refusal(
        reason=Reason.CLUSTER_FORBIDDEN,
        message=f"the app may not use cluster {cluster.name!r} ({fault})",
        remedy=(
            'az role assignment create --role "Azure Kubernetes Service Cluster User Role" '
            "--assignee-principal-type ServicePrincipal --assignee-object-id <the app's identity> "
            f"--scope {arm_id(cluster)} (and Reader on the same scope)"
        ),
    )


def arm_id(cluster: Cluster) -> str:
    """The cluster's resource id."""
    return (
        f"/subscriptions/{cluster.subscription_id}/resourceGroups/{cluster.resource_group}"
        f"/providers/Microsoft.ContainerService/managedClusters/{cluster.name}"
    )


def _send(client: ApiClient, ask: Ask) -> bytes:
    answer = client.call_api(
        ask.path,
        ask.method,
        query_params=list(ask.query),
        header_params=dict(ask.headers),
        body=ask.body,
        _preload_content=False,
        _request_timeout=(CONNECT_SECONDS, ask.read_seconds),
    )
    return cast("bytes", answer.data)


def _api_client(access: Access, token: str | None) -> ApiClient:
    configuration = Configuration()
    configuration.host = access.server
    configuration.connection_pool_maxsize = _PARALLEL_CONNECTIONS
    configuration.retries = urllib3.Retry(
        total=RETRIES,
        allowed_methods=_VERBS,
        status_forcelist=_BUSY,
        backoff_factor=1,
        raise_on_status=False,  # the last answer says more than "too many retries"
        retry_after_max=_LONGEST_RETRY_AFTER_SECONDS,
    )
    client = ApiClient(configuration)
    # In place of files on disk, which is all that the configuration knows of certificates.
    client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = tls_context(access)
    if token is not None:
        client.set_default_header("Authorization", f"Bearer {token}")
    return client


def _unfit(cluster: Cluster, why: str) -> Refusal:
    return Refusal(
        reason=Reason.CLUSTER_UNREACHABLE,
        message=f"the kubeconfig of cluster {cluster.name!r} cannot be used: {why}",
        remedy="check az aks get-credentials by hand",
    )
