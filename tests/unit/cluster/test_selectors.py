from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cluster.failures import ApiError
from local.cluster.resources import DAEMON_SETS, NODES, PODS, Kind
from local.cluster.selectors import expressions_hold, parse_labels, parse_selection, selects

keys = st.sampled_from(["a", "b", "example.com/c"])
labels_strategy = st.dictionaries(keys, st.sampled_from(["x", "y"]))


@given(labels=labels_strategy, key=keys, value=st.sampled_from(["x", "y"]))
def test_a_requirement_and_its_opposite_share_the_world(labels: dict[str, str], key: str, value: str) -> None:
    for positive, negative in (
        (f"{key}={value}", f"{key}!={value}"),
        (f"{key} in ({value})", f"{key} notin ({value})"),
        (key, f"!{key}"),
    ):
        assert parse_labels(positive)[0].holds(labels) != parse_labels(negative)[0].holds(labels)


@given(labels=labels_strategy)
def test_an_empty_selector_selects_everything(labels: dict[str, str]) -> None:
    assert parse_selection(PODS, "", "").holds({"metadata": {"labels": labels}})
    assert selects({}, labels)


def test_fields_are_compared_as_text_and_missing_ones_are_empty() -> None:
    item = {"metadata": {"name": "n"}, "spec": {"unschedulable": True}}
    assert parse_selection(NODES, "", "spec.unschedulable=true,metadata.name=n").holds(item)
    assert parse_selection(PODS, "", "status.phase=,spec.nodeName!=x").holds(item)
    assert parse_selection(NODES, "", "spec.unschedulable=false").holds(
        {"metadata": {"name": "n"}, "spec": {}}
    )
    assert not parse_selection(PODS, "", "metadata.name==m").holds(item)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (PODS, "status.bogus"),
        (PODS, "spec.unschedulable"),
        (NODES, "metadata.namespace"),
        (DAEMON_SETS, "spec"),
    ],
)
def test_a_field_that_the_kind_is_not_selected_by_is_refused(kind: Kind, field: str) -> None:
    with pytest.raises(ApiError, match=f"field label not supported: {field}"):
        parse_selection(kind, "", f"{field}=1")


def test_node_expressions_compare_numbers() -> None:
    assert expressions_hold([{"key": "cores", "operator": "Gt", "values": ["7"]}], {"cores": "8"})
    assert not expressions_hold([{"key": "cores", "operator": "Lt", "values": ["7"]}], {"cores": "many"})


@pytest.mark.parametrize("text", ["app=(", "a b", "=x", "a=b=c"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match="unable to parse requirement"):
        parse_labels(text)
