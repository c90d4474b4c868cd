"""The rules for names and labels. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from local.cluster.failures import Cause
from local.cluster.resources import NAMESPACES, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.cluster.objects import Json

SUBDOMAIN_LENGTH = 253
LABEL_LENGTH = 63

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SUBDOMAIN}')"
)
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    f"'{_LABEL}')"
)
_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    f"for validation is '{_VALUE}')"
)
_KEY = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_KEY}')"
)


def metadata_causes(kind: Kind, item: Json) -> Iterator[Cause]:
    """What is wrong with an object's name and labels."""
    yield from _name_causes(kind, str(item["metadata"]["name"]))
    yield from label_causes("metadata.labels", item["metadata"].get("labels") or {})


def label_causes(field: str, labels: Mapping[str, str]) -> Iterator[Cause]:
    """What is wrong with a set of labels."""
    for key, value in labels.items():
        name = key.rpartition("/")[2]
        if not re.fullmatch(_KEY, name):
            yield bad_value(field, key, _KEY_RULE)
        if not re.fullmatch(_VALUE, value):
            yield bad_value(field, value, _VALUE_RULE)
        for text in (name, value):
            if len(text) > LABEL_LENGTH:
                yield bad_value(field, text, f"must be no more than {LABEL_LENGTH} characters")


def bad_value(field: str, value: object, why: str) -> Cause:
    """A cause for a value that is there and wrong."""
    return Cause(field=field, message=f"Invalid value: {json.dumps(value, separators=(',', ':'))}: {why}")


def _name_causes(kind: Kind, name: str) -> Iterator[Cause]:
    is_label = kind == NAMESPACES
    pattern, rule = (_LABEL, _LABEL_RULE) if is_label else (_SUBDOMAIN, _SUBDOMAIN_RULE)
    limit = LABEL_LENGTH if is_label else SUBDOMAIN_LENGTH
    if not re.fullmatch(pattern, name):
        yield bad_value("metadata.name", name, rule)
    if len(name) > limit:
        yield bad_value("metadata.name", name, f"must be no more than {limit} characters")
