from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cluster.failures import ApiError
from local.cluster.patching import json_patch, merge_patch, strategic_patch

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(target=objects, patch=objects)
def test_a_merge_patch_is_idempotent_and_leaves_its_target_alone(target: Any, patch: Any) -> None:
    before = copy.deepcopy(target)
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert target == before


@given(target=objects, patch=objects)
def test_a_strategic_patch_of_plain_fields_is_a_merge_patch(target: Any, patch: Any) -> None:
    assert strategic_patch(target, patch) == merge_patch(target, patch)


def test_known_lists_merge_by_their_key() -> None:
    target = {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}
    patch = {"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}
    assert strategic_patch(target, patch)["containers"] == [
        {"name": "a", "image": "1"},
        {"name": "b", "image": "2"},
        {"name": "c", "image": "3"},
    ]


def test_directives_delete_and_replace() -> None:
    target = {"env": [{"name": "a"}, {"name": "b"}], "spec": {"x": 1, "y": 2}}
    assert strategic_patch(target, {"env": [{"name": "a", "$patch": "delete"}]})["env"] == [{"name": "b"}]
    replaced = strategic_patch(target, {"spec": {"$patch": "replace", "z": 3}})
    assert replaced["spec"] == {"z": 3}
    kept = strategic_patch(target, {"spec": {"$retainKeys": ["y"], "y": 4}})
    assert kept["spec"] == {"y": 4}


def test_primitive_lists_are_added_to_and_taken_from() -> None:
    target = {"finalizers": ["a", "b"]}
    assert strategic_patch(target, {"finalizers": ["b", "c"]}) == {"finalizers": ["a", "b", "c"]}
    assert strategic_patch(target, {"$deleteFromPrimitiveList/finalizers": ["a"]}) == {"finalizers": ["b"]}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/l/0", "value": 9}, {"a": 1, "l": [9, 1, 2]}),
        ({"op": "add", "path": "/l/-", "value": 9}, {"a": 1, "l": [1, 2, 9]}),
        ({"op": "replace", "path": "/l/1", "value": 9}, {"a": 1, "l": [1, 9]}),
        ({"op": "remove", "path": "/a"}, {"l": [1, 2]}),
        ({"op": "move", "from": "/a", "path": "/b"}, {"b": 1, "l": [1, 2]}),
        ({"op": "copy", "from": "/a", "path": "/b~1c"}, {"a": 1, "b/c": 1, "l": [1, 2]}),
        ({"op": "test", "path": "/a", "value": 1}, {"a": 1, "l": [1, 2]}),
    ],
)
def test_json_patch_operations(operation: Any, expected: Any) -> None:
    assert json_patch({"a": 1, "l": [1, 2]}, [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "add", "path": "/l/9", "value": 1},
        {"op": "turn", "path": "/a"},
        {"path": "/a"},
        "no operation",
    ],
)
def test_a_json_patch_that_cannot_be_applied_is_refused_whole(operation: Any) -> None:
    target = {"a": 1, "l": [1, 2]}
    with pytest.raises(ApiError) as caught:
        json_patch(target, [{"op": "add", "path": "/b", "value": 2}, operation])
    assert caught.value.code == 422
    assert target == {"a": 1, "l": [1, 2]}
