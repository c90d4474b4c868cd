"""Value objects ⇄ plain JSON: the only codec.

What goes into Durable's history is plain JSON, so that no module path is ever stored there. Types are
read off the annotations; a union of value objects carries the class's name under `"type"`.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Union, get_args, get_origin

_TAG = "type"


class WireError(ValueError):
    """JSON that does not fit the type it is read as; says where."""


def encode(value: object) -> Any:
    """A value object, or a tuple, union or scalar of the kinds above, as plain JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {_TAG: type(value).__name__, **fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise WireError(f"{type(value).__name__} has no wire form")


def decode(kind: Any, document: Any, where: str = "$") -> Any:
    """Read plain JSON as `kind`.

    Raises:
        WireError: where the document does not fit, with the path to it.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), document, where)
    if origin is tuple:
        return _decode_tuple(get_args(kind), document, where)
    if dataclasses.is_dataclass(kind):
        return _decode_object(kind, document, where)
    return _decode_scalar(kind, document, where)


def _decode_union(members: tuple[Any, ...], document: Any, where: str) -> Any:
    if document is None and type(None) in members:
        return None
    named = {m.__name__: m for m in members if dataclasses.is_dataclass(m) and isinstance(m, type)}
    tag = document.get(_TAG) if isinstance(document, Mapping) else None
    if isinstance(tag, str) and tag in named:
        return decode(named[tag], document, where)
    rest = [member for member in members if member is not type(None) and member not in named.values()]
    if len(rest) == 1:
        return decode(rest[0], document, where)
    raise WireError(f"{where}: none of {sorted(named)} fits")


def _decode_tuple(items: tuple[Any, ...], document: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(document, list):
        raise WireError(f"{where}: a list was expected")
    if len(items) == 2 and items[1] is Ellipsis:  # noqa: PLR2004 - tuple[X, ...]
        return tuple(decode(items[0], item, f"{where}[{n}]") for n, item in enumerate(document))
    if len(items) != len(document):
        raise WireError(f"{where}: {len(items)} items were expected")
    return tuple(
        decode(kind, item, f"{where}[{n}]")
        for n, (kind, item) in enumerate(zip(items, document, strict=True))
    )


def _decode_object(kind: Any, document: Any, where: str) -> Any:
    if not isinstance(document, Mapping):
        raise WireError(f"{where}: an object was expected")
    known = {name: hint for name, hint in _hints(kind).items() if name in document}
    try:
        return kind(**{name: decode(hint, document[name], f"{where}.{name}") for name, hint in known.items()})
    except TypeError as missing:
        raise WireError(f"{where}: {missing}") from missing


@functools.cache
def _hints(kind: Any) -> Mapping[str, Any]:
    """Resolved once: a replay decodes every answer of its history again."""
    return typing.get_type_hints(kind)


def _decode_scalar(kind: Any, document: Any, where: str) -> Any:
    try:
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(document)
        if kind is datetime and isinstance(document, str):
            return datetime.fromisoformat(document)
    except ValueError as unfit:
        raise WireError(f"{where}: {unfit}") from unfit
    if kind is float and isinstance(document, int) and not isinstance(document, bool):
        return float(document)
    if (
        isinstance(kind, type)
        and isinstance(document, kind)
        and (kind is bool or not isinstance(document, bool))
    ):
        return document
    raise WireError(f"{where}: {getattr(kind, '__name__', kind)} was expected")
