"""Blobs that are meant to be read whole, and are only if they are as small as they should be."""

from dataclasses import dataclass

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobClient

MAX_BYTES = 1 << 20  # NCBI's largest metadata is a tenth of it, our own documents have a few KB


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallBlob:
    """One version of a blob; no text where it is too large to be what it should be."""

    text: bytes | None
    bytes: int
    etag: str


def read_small(blob: BlobClient) -> SmallBlob | None:
    """Read a blob in one request, or none of it; None where there is none."""
    try:
        download = blob.download_blob()
    except ResourceNotFoundError:
        return None
    text = download.readall() if download.size <= MAX_BYTES else None
    return SmallBlob(text=text, bytes=download.size, etag=str(download.properties.etag))
