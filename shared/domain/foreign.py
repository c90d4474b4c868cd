"""Reading JSON that strangers wrote: what does not fit is as if it were not there.

>>> text(mapping({"metadata": {"name": 7}}, "metadata"), "name")
''
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

Json = Mapping[str, object]


def mapping(value: Json, key: str) -> Json:
    """The object under a key, or an empty one."""
    found = value.get(key)
    return cast("Json", found) if isinstance(found, dict) else {}


def objects(value: Json, key: str) -> Sequence[Json]:
    """The objects of the list under a key; whatever else is in it is left out."""
    found = value.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text(value: Json, key: str) -> str:
    """The string under a key, or an empty one."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def number(value: Json, key: str) -> int:
    """The whole number under a key, or 0."""
    found = value.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def moment(told: str) -> datetime | None:
    """A point in time, of Greenwich where it names no zone; None where it is none."""
    try:
        read = datetime.fromisoformat(told)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
