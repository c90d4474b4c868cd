"""A refusal of the blob service, in Azure Storage's words and on the wire."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from xml.sax.saxutils import escape

API_VERSION = "2025-11-05"
"""What Azurite answers with, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The request may not pass, and this is the answer."""

    caller: str
    status: int
    code: str
    message: str
    retry_after_seconds: int | None = None


def on_the_wire(refusal: Refused, *, with_body: bool, keeps_connection: bool) -> bytes:
    """The whole HTTP answer: the code stands in a header and in the XML."""
    request_id, now = uuid.uuid4(), datetime.now(UTC)
    body = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}\n"
        f"RequestId:{request_id}\nTime:{now.isoformat()}</Message></Error>"
    ).encode()
    fields = {
        "Content-Length": str(len(body)),
        "Content-Type": "application/xml",
        "x-ms-error-code": refusal.code,
        "x-ms-request-id": str(request_id),
        "x-ms-version": API_VERSION,
        "Date": format_datetime(now, usegmt=True),
        "Connection": "keep-alive" if keeps_connection else "close",
    }
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        fields["WWW-Authenticate"] = "Bearer resource_id=https://storage.azure.com"
    if refusal.retry_after_seconds is not None:
        fields["Retry-After"] = str(refusal.retry_after_seconds)
    first = f"HTTP/1.1 {refusal.status} {refusal.code}"
    head = "\r\n".join([first, *(f"{name}: {value}" for name, value in fields.items()), "", ""])
    return head.encode("latin-1") + (body if with_body else b"")
