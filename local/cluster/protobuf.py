"""Kubernetes' protobuf, as `kubectl create` sends namespaces, ConfigMaps, Secrets, service accounts. Pure.

Each message is read by a table of its fields; fields that no table names are the server's own or empty.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from local.cluster.failures import bad_request, unsupported_media_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cluster.objects import Json

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"


def decode(body: bytes) -> Json:
    """The object as JSON; raises 400 for damaged bytes, 415 for a kind that nobody reads here."""
    if not body.startswith(MAGIC):
        raise bad_request("the body of the request is not Kubernetes' protobuf")
    try:
        envelope = _message({1: ("identity", _identity), 2: ("raw", bytes)})(body[len(MAGIC) :])
        identity = envelope["identity"]
        fields = _KINDS.get((identity.get("apiVersion", ""), identity.get("kind", "")))
        if fields is None:
            raise unsupported_media_type(["application/json", "application/yaml"])
        return {**identity, **_message(fields)(envelope.get("raw", b""))}
    except (IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise bad_request("the body of the request is damaged protobuf") from error


def _message(fields: dict[int, tuple[str, Callable[[Any], Any]]]) -> Callable[[Any], Json]:
    def read(content: bytes) -> Json:
        found: Json = {}
        for number, value in _parts(content):
            if number in fields:
                name, reader = fields[number]
                read_value = reader(value)
                if read_value == "":
                    continue  # as absent: kubectl writes every text that it has not
                # An entry of a map comes alone, again and again.
                found[name] = {**found.get(name, {}), **read_value} if reader in _MAPS else read_value
        return found

    return read


def _parts(content: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a message: numbers and texts are all that these kinds hold."""
    at = 0
    while at < len(content):
        key, at = _number(content, at)
        value, at = _number(content, at)
        if key & 7 == 0:
            yield key >> 3, value
        elif key & 7 == 2 and at + value <= len(content):  # noqa: PLR2004 - the wire type of whatever has a length
            yield key >> 3, content[at : at + value]
            at += value
        else:
            raise IndexError(key)


def _number(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return value, at


def _text(value: bytes) -> str:
    return value.decode()


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _texts(entry: bytes) -> dict[str, str]:
    read = _message({1: ("key", _text), 2: ("value", _text)})(entry)
    return {read.get("key", ""): read.get("value", "")}


def _blobs(entry: bytes) -> dict[str, str]:
    read = _message({1: ("key", _text), 2: ("value", _encoded)})(entry)
    return {read.get("key", ""): read.get("value", "")}


_MAPS = frozenset({_texts, _blobs})
_identity = _message({1: ("apiVersion", _text), 2: ("kind", _text)})
_metadata = _message(
    {
        1: ("name", _text),
        2: ("generateName", _text),
        3: ("namespace", _text),
        11: ("labels", _texts),
        12: ("annotations", _texts),
    }
)
_METADATA = {1: ("metadata", _metadata)}
_KINDS: dict[tuple[str, str], dict[int, tuple[str, Callable[[Any], Any]]]] = {
    ("v1", "Namespace"): {**_METADATA},
    ("v1", "ServiceAccount"): {**_METADATA},
    ("v1", "ConfigMap"): {
        **_METADATA,
        2: ("data", _texts),
        3: ("binaryData", _blobs),
        4: ("immutable", bool),
    },
    ("v1", "Secret"): {
        **_METADATA,
        2: ("data", _blobs),
        3: ("type", _text),
        4: ("stringData", _texts),
        5: ("immutable", bool),
    },
}
