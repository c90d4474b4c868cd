"""Small JSON documents in the app's own storage account, changed by compare-and-swap.

A document is written only over the version that was read (If-Match), or where there is none
(If-None-Match), so that of two writers one loses and knows it. One that cannot be read is set aside
under `corrupt/`, never dropped.
"""

import hashlib
import json
import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobClient, BlobLeaseClient, ContainerClient

from shared.adapters.azure_clients import AzureClients
from shared.adapters.errors import Fault, RefusedError, calling
from shared.adapters.small_blobs import read_small
from shared.domain.refusals import Reason, Refusal
from shared.settings import AzureSettings
from shared.wire import WireError, decode, encode

_logger = logging.getLogger(__name__)

# The service looks at a blob's lease before or after the condition: one that is leased answers either.
_THERE_ALREADY = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version(Generic[T]):
    """A document as read, and what names this version of it."""

    value: T
    etag: str


class Documents:
    """Documents of one container, which is made when the first is written."""

    def __init__(self, clients: AzureClients, settings: AzureSettings) -> None:
        """Keep where they lie."""
        self.container = settings.state_container
        self._clients = clients
        self._settings = settings

    def read(self, name: str, kind: Any, *, held: bool = False) -> Version[Any] | None:
        """The document and its version; None where there is none, or none that can be read.

        One that cannot be read is moved aside, or only copied where its lease is `held`: the holder
        writes over it.
        """
        with self._calling("read", name):
            found = read_small(self._blob(name))
        if found is None:
            return None
        if found.text is None:
            raise RefusedError(self._too_large(name, found.bytes))
        try:
            return Version(value=decode(kind, json.loads(found.text)), etag=found.etag)
        except (WireError, ValueError, RecursionError) as unfit:
            self._set_aside(name, found.text)
            if not held:
                self.delete(name, found.etag)
            _logger.error("document was corrupt and was set aside: blob=%s cause=%s", name, unfit)  # noqa: TRY400 - the cause says it all
            return None

    def create(self, name: str, value: object) -> bool:
        """Write a document where there is none; False where there is one, leased or not."""
        with self._calling("write", name):
            try:
                self._upload(name, _bytes(value))
            except HttpResponseError as refused:
                if refused.status_code not in _THERE_ALREADY:
                    raise
                return False
        return True

    def replace(self, name: str, value: object, etag: str) -> bool:
        """Write over exactly the version that was read; False when it is no longer there."""
        with self._calling("write", name):
            try:
                self._blob(name).upload_blob(
                    _bytes(value), overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified
                )
            except (ResourceModifiedError, ResourceNotFoundError):
                return False
        return True

    def replace_held(self, name: str, value: object, lease: BlobLeaseClient) -> None:
        """Write a document whose lease is held; passing when it was lost."""
        with self._calling("write", name):
            self._blob(name).upload_blob(_bytes(value), overwrite=True, lease=lease)

    def delete(self, name: str, etag: str) -> bool:
        """Delete exactly the version that was read; False when it is no longer there."""
        with self._calling("delete", name):
            try:
                self._blob(name).delete_blob(etag=etag, match_condition=MatchConditions.IfNotModified)
            except (ResourceModifiedError, ResourceNotFoundError):
                return False
        return True

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of the documents below a prefix."""
        with self._calling("list", prefix):
            try:
                return tuple(self._container().list_blob_names(name_starts_with=prefix))
            except ResourceNotFoundError:
                return ()

    def lease(self, name: str, seconds: int) -> BlobLeaseClient:
        """Take a document's lease, to be renewed and given back by the taker.

        Raises:
            PassingError: when somebody else has it.
        """
        with self._calling("lease", name):
            return self._blob(name).acquire_lease(lease_duration=seconds)

    def _upload(self, name: str, body: bytes) -> None:
        try:
            self._blob(name).upload_blob(body, overwrite=False)
        except ResourceNotFoundError:
            self._make_container()
            self._blob(name).upload_blob(body, overwrite=False)

    def _make_container(self) -> None:
        try:
            self._container().create_container()
        except ResourceExistsError:
            _logger.info("container was made by another writer meanwhile: %s", self.container)

    def _set_aside(self, name: str, text: bytes) -> None:
        digest = hashlib.sha256(text).hexdigest()[:10]
        with self._calling("set aside", name):
            self._blob(f"corrupt/{name}.{digest}").upload_blob(text, overwrite=True)

    def _container(self) -> ContainerClient:
        service = self._clients.blobs(self._settings.state_endpoint)
        return service.get_container_client(self.container)

    def _blob(self, name: str) -> BlobClient:
        return self._container().get_blob_client(name)

    def _calling(self, verb: str, name: str) -> AbstractContextManager[None]:
        return calling(f"to {verb} {self.container}/{name}", self._refusal)

    def _refusal(self, fault: Fault) -> Refusal:
        return Refusal(
            reason=Reason.ACCOUNT_FORBIDDEN,
            message=f"the app cannot keep its records in {self._settings.state_endpoint} ({fault})",
            remedy="give the app's identity Storage Blob Data Contributor on its own storage account",
        )

    def _too_large(self, name: str, size: int) -> Refusal:
        return Refusal(
            reason=Reason.ACCOUNT_FORBIDDEN,
            message=f"{self.container}/{name} has {size} bytes, which is nothing that the app wrote",
            remedy="move that blob out of the container, and restrict who may write there",
        )


def _bytes(value: object) -> bytes:
    return json.dumps(encode(value), indent=1).encode()
