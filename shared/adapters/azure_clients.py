"""One credential, and every Azure client made in one place: cloud, certificates, time-outs, retries.

A sovereign cloud, or any other that speaks Azure, is a matter of settings alone.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

from azure.core.credentials import TokenCredential
from azure.core.pipeline.policies import RetryPolicy
from azure.core.rest import HttpRequest
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobServiceClient

from shared.adapters import small_blobs
from shared.adapters.app_identity import PAUSES_SECONDS, AppIdentity
from shared.settings import AzureSettings

# The platform answers in well under a second or not at all; a worker's thread must not hang on it.
CONNECT_SECONDS = 5
READ_SECONDS = 20
RETRIES = 2  # three tries: what does not pass in these is the orchestrator's to wait for
_FIRST_PAUSE_SECONDS = 1
_LONGEST_PAUSE_SECONDS = 10  # longer ones are waited for by a durable timer, not by a thread

Client = TypeVar("Client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long Azure is waited for, in seconds."""

    read_seconds: float = READ_SECONDS
    token_pauses_seconds: tuple[float, ...] = PAUSES_SECONDS


_USUAL = Patience()


class AzureClients:
    """The app's credential and its clients, made when first needed and shared by all threads."""

    def __init__(self, settings: AzureSettings, patience: Patience = _USUAL) -> None:
        """Keep the settings; nothing is contacted before the first call."""
        # Every request with all its headers, as information: nobody reads that, and it costs.
        logging.getLogger("azure").setLevel(logging.WARNING)
        # It repeats what the identity endpoint said, which may be a token.
        logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
        self._settings = settings
        self._patience = patience
        self._lock = Lock()
        self._made: dict[tuple[str, str], Any] = {}

    def clusters(self, subscription_id: str) -> ContainerServiceClient:
        """AKS in a subscription."""
        return self._once("clusters", subscription_id, self._arm(ContainerServiceClient))

    def storage(self, subscription_id: str) -> StorageManagementClient:
        """Storage accounts in a subscription, as ARM sees them."""
        return self._once("storage", subscription_id, self._arm(StorageManagementClient))

    def roles(self, subscription_id: str) -> AuthorizationManagementClient:
        """Role assignments in a subscription."""
        return self._once("roles", subscription_id, self._arm(AuthorizationManagementClient))

    def resource(self, subscription_id: str, resource_id: str, api_version: str) -> Mapping[str, Any]:
        """A resource of a kind that none of these clients knows, as ARM's own JSON."""
        request = HttpRequest("GET", resource_id, params={"api-version": api_version})
        answer = self.storage(subscription_id).send_request(request)  # any of ARM's signs in and tries again
        answer.raise_for_status()
        found: Mapping[str, Any] = answer.json()
        return found

    def blobs(self, endpoint: str) -> BlobServiceClient:
        """Blobs behind an endpoint, as ARM reports it."""
        return self._once("blobs", endpoint, self._blob_service)

    def token(self, scope: str) -> str:
        """A token of the app's own for something that is no Azure SDK."""
        return self._credential().get_token(scope).token

    def _arm(self, kind: Callable[..., Client]) -> Callable[[str], Client]:
        endpoint = self._settings.arm_endpoint
        return lambda subscription_id: kind(
            self._credential(),
            subscription_id,
            base_url=endpoint,
            credential_scopes=[f"{endpoint}/.default"],
            retry_policy=_BoundedRetries(retry_total=RETRIES, retry_backoff_factor=_FIRST_PAUSE_SECONDS),
            **self._transport(),
        )

    def _blob_service(self, endpoint: str) -> BlobServiceClient:
        return BlobServiceClient(
            endpoint,
            self._credential(),
            retry_total=RETRIES,
            initial_backoff=_FIRST_PAUSE_SECONDS,
            increment_base=_FIRST_PAUSE_SECONDS,
            max_single_get_size=small_blobs.MAX_BYTES,  # a first request for no more than may be read
            **self._transport(),
        )

    def _credential(self) -> TokenCredential:
        return self._once("credential", "", lambda _: self._identity())

    def _identity(self) -> TokenCredential:
        """A named identity is that and no other; without one, the app's own or a developer's sign-in."""
        once: dict[str, Any] = {"retry_total": 0, **self._transport()}
        found: TokenCredential = (
            DefaultAzureCredential(authority=self._settings.authority_host, **once)
            if self._settings.client_id is None
            else ManagedIdentityCredential(client_id=self._settings.client_id, **once)
        )
        return AppIdentity(found, self._patience.token_pauses_seconds)

    def _transport(self) -> dict[str, Any]:
        bundle = self._settings.ca_bundle
        return {
            "connection_timeout": CONNECT_SECONDS,
            "read_timeout": self._patience.read_seconds,
            "connection_verify": True if bundle is None else str(bundle),
        }

    def _once(self, kind: str, key: str, make: Callable[[str], Client]) -> Client:
        made: Client | None = self._made.get((kind, key))
        if made is None:
            fresh = make(key)
            with self._lock:
                made = self._made.setdefault((kind, key), fresh)
        return made


class _BoundedRetries(RetryPolicy[Any, Any]):
    """ARM may ask for a pause of minutes: then its answer goes up as it is."""

    def is_retry(self, settings: dict[str, Any], response: Any) -> bool:
        asked = self.get_retry_after(response) or 0
        return asked <= _LONGEST_PAUSE_SECONDS and super().is_retry(settings, response)
