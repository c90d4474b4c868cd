"""A plain function and its ports become a Durable activity: decode, call, encode; nothing else.

The worker reads the signature and the hints of what is registered, so the registered function has one
parameter, `payload`, and no annotations.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import azure.durable_functions as df

from shared.wire import decode, encode


def bind(blueprint: df.Blueprint, function: Callable[..., Any], **ports: object) -> None:
    """Register `function(value, *, port, …)` under its own name, with its ports filled in."""
    kind = _value_type(function)
    act = functools.partial(function, **ports)

    def activity(payload):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - see the charter
        return encode(act(decode(kind, payload)))

    activity.__name__ = function.__name__
    activity.__doc__ = function.__doc__
    blueprint.function_name(function.__name__)(blueprint.activity_trigger(input_name="payload")(activity))


def _value_type(function: Callable[..., Any]) -> Any:
    """The type of the one positional parameter; the ports are keyword-only."""
    hints = typing.get_type_hints(function)
    first = next(iter(inspect.signature(function).parameters))
    return hints[first]
