"""Value objects as plain JSON and back: every one that crosses a history."""

import dataclasses
import inspect
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import UnionType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit import builders as a

from activities import binding, hands
from shared.domain.model import Cluster, Database, Mode
from shared.domain.refusals import Refusal
from shared.domain.runs import Access, Run
from shared.wire import WireError, decode, encode


def bound() -> list[Callable[..., object]]:
    """Every hand that is bound: `(value, *, port) -> value`."""
    functions = [function for function in vars(hands).values() if inspect.isfunction(function)]
    return [f for f in functions if f.__module__ not in (hands.__name__, binding.__name__)]


def crossing_types() -> list[Any]:
    """What goes into an activity, what comes out, and what a run is given."""
    found: list[Any] = [Run]
    for hand in bound():
        hints = typing.get_type_hints(hand)
        for kind in (hints[next(iter(inspect.signature(hand).parameters))], hints["return"]):
            if kind not in found:
                found.append(kind)
    return found


def value_objects(kind: Any) -> set[type[Any]]:
    """All dataclasses that a type is made of."""
    if not dataclasses.is_dataclass(kind):
        return {found for inner in typing.get_args(kind) for found in value_objects(inner)}
    assert isinstance(kind, type)
    inner = typing.get_type_hints(kind).values()
    return {kind, *(found for hint in inner for found in value_objects(hint))}


def strategy(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type."""
    if kind is datetime:
        return st.datetimes(timezones=st.just(UTC))
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if typing.get_origin(kind) is tuple:
        return _tuples(typing.get_args(kind))
    if typing.get_origin(kind) in (typing.Union, UnionType):
        return st.one_of(*map(strategy, typing.get_args(kind)))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(
            typing.cast("type[Any]", kind), **{name: strategy(hint) for name, hint in hints.items()}
        )
    return st.text(max_size=5) if kind is str else st.from_type(kind)


def _tuples(items: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if items[1:] == (Ellipsis,):
        return st.lists(strategy(items[0]), max_size=2).map(tuple)
    return st.tuples(*map(strategy, items))


@pytest.mark.parametrize("kind", crossing_types(), ids=str)
def test_whatever_crosses_a_history_comes_back_as_it_was(kind: Any) -> None:
    @settings(max_examples=25)
    @given(strategy(kind))
    def comes_back(value: object) -> None:
        assert decode(kind, json.loads(json.dumps(encode(value)))) == value

    comes_back()


@pytest.mark.parametrize("kind", sorted(set().union(*map(value_objects, crossing_types())), key=str))
def test_no_value_object_has_a_field_that_the_codec_needs(kind: type[Any]) -> None:
    assert "type" not in {field.name for field in dataclasses.fields(kind)}


def test_no_two_value_objects_that_cross_share_a_name() -> None:
    names = [kind.__name__ for kind in set().union(*map(value_objects, crossing_types()))]

    assert len(names) == len(set(names))


def test_the_wire_form_is_plain_and_names_no_module() -> None:
    assert encode(a.DATABASE) == {"type": "Database", "name": "core_nt", "folder": "core_nt"}
    assert "shared" not in json.dumps(encode(a.run()))


def test_a_history_of_an_older_release_reads_its_missing_fields_as_their_defaults() -> None:
    older = {"request": encode(a.request())}

    assert decode(Run, older) == a.run()


def test_a_history_of_a_newer_release_may_know_more() -> None:
    assert decode(Database, {"name": "nt", "folder": "nt", "colour": "blue"}) == Database(
        name="nt", folder="nt"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """Whatever a field may be."""

    words: tuple[str, ...] = ()
    pair: tuple[str, int] = ("a", 1)
    mode: Mode = Mode.WARM
    count: int = 0
    share: float = 0.0
    flag: bool = False
    at: datetime | None = None
    either: Database | Cluster | None = None
    maybe: int | None = None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "$: an object was expected"),
        ("text", "$: an object was expected"),
        ({"words": "ab"}, "$.words: a list was expected"),
        ({"words": ["a", 7]}, "$.words[1]: str was expected"),
        ({"pair": ["a"]}, "$.pair: 2 items were expected"),
        ({"pair": ["a", "b"]}, "$.pair[1]: int was expected"),
        ({"mode": "hot"}, "$.mode: 'hot' is not a valid Mode"),
        ({"mode": []}, "$.mode: [] is not a valid Mode"),
        ({"count": True}, "$.count: int was expected"),
        ({"count": 1.5}, "$.count: int was expected"),
        ({"count": None}, "$.count: int was expected"),
        ({"share": True}, "$.share: float was expected"),
        ({"share": "1"}, "$.share: float was expected"),
        ({"flag": 1}, "$.flag: bool was expected"),
        ({"at": "noon"}, "$.at: Invalid isoformat string: 'noon'"),
        ({"at": 7}, "$.at: datetime was expected"),
        ({"maybe": "7"}, "$.maybe: int was expected"),
        ({"either": {"type": "Node"}}, "$.either: none of ['Cluster', 'Database'] fits"),
        ({"either": {"type": ["Database"]}}, "$.either: none of ['Cluster', 'Database'] fits"),
        ({"either": {"type": "Database", "name": 7}}, "$.either.name: str was expected"),
        ({"either": {"type": "Database", "name": "nt"}}, "$.either: Database.__init__() missing 1 required"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_path_to_it(document: object, message: str) -> None:
    with pytest.raises(WireError) as refused:
        decode(Plain, document)
    assert str(refused.value).startswith(message)


def test_a_whole_number_is_a_float_too() -> None:
    assert decode(Plain, {"share": 2}).share == 2.0


@pytest.mark.parametrize("value", [{"a": 1}, {1, 2}, [1], b"x", object(), Database])
def test_what_has_no_wire_form_is_refused_before_it_is_stored(value: object) -> None:
    with pytest.raises(WireError, match="has no wire form"):
        encode(value)


def test_a_refusal_is_told_from_an_answer_by_its_name() -> None:
    refusal = Refusal(reason=next(iter(typing.get_type_hints(Refusal)["reason"])), message="m", remedy="r")

    assert decode(Access | Refusal, encode(refusal)) == refusal


def test_nothing_that_crosses_brings_its_own_json() -> None:
    """The SDK would store the module's path beside it, and renaming a module would break live runs."""
    for kind in set().union(*map(value_objects, crossing_types())):
        assert not {"to_json", "from_json"} & set(vars(kind))


def test_enums_that_cross_are_texts() -> None:
    hints = [
        h
        for k in set().union(*map(value_objects, crossing_types()))
        for h in typing.get_type_hints(k).values()
    ]

    assert all(issubclass(h, StrEnum) for h in hints if isinstance(h, type) and hasattr(h, "__members__"))
