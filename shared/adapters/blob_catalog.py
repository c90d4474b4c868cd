"""The container of databases, read as a stranger's: listings page by page, metadata within a bound."""

import base64
import json
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobProperties, ContainerClient

from shared.adapters.azure_clients import AzureClients
from shared.adapters.errors import SDK_ERRORS, Fault, RefusedError, calling, fault_of
from shared.adapters.small_blobs import SmallBlob, read_small
from shared.domain.cataloguing import Found, find_databases, prefix_of
from shared.domain.model import Account, Database
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import CatalogEntry, Probe
from shared.domain.staging import Listing, Manifest, StagedBlob, judge_staging
from shared.ports import PassingError

_logger = logging.getLogger(__name__)

_PARALLEL_READS = 8  # metadata files are small and each costs a round trip
_DENIED = frozenset(
    {"AuthorizationPermissionMismatch", "InsufficientAccountPermissions", "AuthenticationFailed"}
)
_SHUT_OUT = "AuthorizationFailure"  # the network's word; a role that is wanting has another one
_ADMITTING = "let the app's network in; where its rules were just changed, try again in a minute"
_ARCHIVED = frozenset({"BlobArchived", "BlobBeingRehydrated"})

Json = Mapping[str, object]


class BlobCatalog:
    """The port `Catalog`."""

    def __init__(self, clients: AzureClients, container: str) -> None:
        """Keep the container's name, the same in every account."""
        self._clients = clients
        self._container = container

    def listing(self, account: Account, database: Database) -> Listing:
        """List one folder and read the metadata beside it; an absent container lists nothing."""
        with _network_may_settle():
            blobs = self._blobs(account, f"{database.folder}/")
            return self._with_metadata(account, database, blobs)

    def probe(self, account: Account) -> Probe:
        """Ask for a page of one blob, once: the caller tries again."""
        try:
            pages = self._client(account).list_blobs(results_per_page=1, retry_total=0).by_page()
            next(pages, None)
        except SDK_ERRORS as error:
            return _classified(fault_of(error))
        return Probe(outcome="reachable")

    def databases(self, account: Account) -> tuple[CatalogEntry, ...]:
        """List everything and judge each database by the rule that a warm-up goes by."""
        found = find_databases(self._blobs(account, ""))
        with ThreadPoolExecutor(_PARALLEL_READS) as readers:
            listings = readers.map(
                lambda each: self._with_metadata(account, each.database, each.folder), found
            )
            return tuple(_entry(*pair) for pair in zip(found, listings, strict=True))

    def _client(self, account: Account) -> ContainerClient:
        return self._clients.blobs(account.blob_endpoint).get_container_client(self._container)

    def _blobs(self, account: Account, prefix: str) -> tuple[StagedBlob, ...]:
        with calling(f"listing {self._container}/{prefix} of {account.name!r}", _unreadable(account)):
            try:
                # What is deleted, a version or a snapshot is listed only where it is asked for.
                found = self._client(account).list_blobs(
                    name_starts_with=prefix or None, include=["copy", "metadata"]
                )
                return tuple(_staged(blob) for blob in found if not _is_folder(blob))
            except ResourceNotFoundError:
                return ()

    def _with_metadata(self, account: Account, database: Database, blobs: tuple[StagedBlob, ...]) -> Listing:
        ncbi = (f"{database.path}-{molecule}-metadata.json" for molecule in ("nucl", "prot"))
        names = {blob.name for blob in blobs}
        own = next((name for name in ncbi if name in names), None)
        root = "" if not database.folder.startswith("custom_db/") else f"{database.folder}/"
        return Listing(
            database=database,
            container=self._container,
            blobs=blobs,
            dashboard_metadata=self._document(account, f"{root}{database.name}-metadata.json"),
            ncbi_metadata=self._document(account, own) if own else None,
        )

    def _document(self, account: Account, name: str) -> Json | None:
        """A JSON object, or None where there is none that can be read as such."""
        with calling(f"reading {self._container}/{name} of {account.name!r}", _unreadable(account)):
            try:
                found = read_small(self._client(account).get_blob_client(name))
            except HttpResponseError as refused:
                if fault_of(refused).code not in _ARCHIVED:
                    raise
                _logger.warning("metadata was in the archive tier: blob=%s", name)
                return None
        return None if found is None else _object(name, found)


@contextmanager
def _network_may_settle() -> Iterator[None]:
    """Storage's front ends hear of a change one by one: another than the probe's may still refuse."""
    try:
        yield
    except RefusedError as refused:
        if refused.code != _SHUT_OUT:
            raise
        raise PassingError(str(refused)) from refused


def _object(name: str, found: SmallBlob) -> Json | None:
    try:
        document = json.loads(found.text or b"")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        _logger.warning("metadata was no json object of a sane size: blob=%s bytes=%d", name, found.bytes)
        return None
    return cast("Json", document)


def _staged(blob: BlobProperties) -> StagedBlob:
    md5 = blob.content_settings.content_md5
    etag = str(blob.etag)
    return StagedBlob(
        name=str(blob.name),
        bytes=int(blob.size),
        # Listings leave out the quotes that an If-Match must have.
        etag=etag if etag.startswith('"') else f'"{etag}"',
        md5=base64.b64encode(bytes(md5)).decode() if md5 else None,
        modified=cast("Any", blob.last_modified),
        copy_pending=blob.copy.status not in (None, "success"),
        archived=blob.blob_tier == "Archive",
        rehydrating=bool(blob.archive_status),
    )


def _is_folder(blob: BlobProperties) -> bool:
    """Accounts with a hierarchical namespace list their folders among the blobs, as empty ones."""
    told = {key.lower(): value for key, value in (blob.metadata or {}).items()}
    return str(told.get("hdi_isfolder", "")).lower() == "true"


def _entry(found: Found, listing: Listing) -> CatalogEntry:
    verdict = judge_staging(listing)
    metadata = listing.dashboard_metadata or {}
    return CatalogEntry(
        name=found.database.name,
        container=listing.container,
        prefix=prefix_of(found.database),
        source="custom" if found.database.folder.startswith("custom_db/") else "ncbi",
        file_count=len(found.own),
        total_bytes=sum(blob.bytes for blob in found.own),
        last_modified=max(blob.modified for blob in found.own),
        source_version=_word(metadata, "source_version"),
        downloaded_at=_word(metadata, "downloaded_at"),
        ready=isinstance(verdict, Manifest),
    )


def _word(metadata: Json, key: str) -> str | None:
    value = metadata.get(key)
    return value[:64] if isinstance(value, str) and value.isprintable() and value else None


def _classified(fault: Fault) -> Probe:
    if fault.status == 0 or fault.status >= 429:  # noqa: PLR2004 - throttled, or the service's own fault
        return Probe(outcome="network", message=str(fault))
    if fault.status == 404:  # noqa: PLR2004 - HTTP
        return Probe(outcome="not_found", message=str(fault))
    denied = fault.code in _DENIED or fault.status == 401  # noqa: PLR2004 - HTTP
    return Probe(outcome="denied" if denied else "blocked", message=str(fault))


def _unreadable(account: Account) -> Any:
    def refuse(fault: Fault) -> Refusal:
        reason = Reason.ACCOUNT_FORBIDDEN if fault.code in _DENIED else Reason.STORAGE_BLOCKED
        return Refusal(
            reason=reason,
            message=f"blobs of account {account.name!r} cannot be read ({fault})",
            remedy=_ADMITTING if fault.code == _SHUT_OUT else _granting(account),
        )

    return refuse


def _granting(account: Account) -> str:
    return (
        "give the app's identity Storage Blob Data Reader on it, and let the app's network in: "
        f'az role assignment create --role "Storage Blob Data Reader" --scope {account.resource_id} '
        "--assignee-principal-type ServicePrincipal --assignee-object-id <the app's identity>"
    )
