from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cluster.applying import Applier, applied, fields_of, with_owners
from local.cluster.failures import ApiError
from local.cluster.resources import CONFIG_MAPS

Json = dict[str, Any]

US, FORCED = Applier(manager="us", force=False), Applier(manager="us", force=True)


def said(**data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def owned_by(manager: str, body: Json) -> Json:
    return with_owners(body, {manager: set(fields_of(body))})


def owners(item: Json) -> dict[str, Json]:
    return {entry["manager"]: entry["fieldsV1"] for entry in item["metadata"]["managedFields"]}


data = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3)


@given(first=data, then=data)
def test_the_last_word_of_the_only_owner_is_what_is_there(
    first: dict[str, str], then: dict[str, str]
) -> None:
    before = owned_by("us", said(**first))
    assert applied(CONFIG_MAPS, before, said(**then), US).get("data", {}) == then


@given(first=data, then=data)
def test_the_same_word_again_changes_nothing(first: dict[str, str], then: dict[str, str]) -> None:
    once = applied(CONFIG_MAPS, owned_by("us", said(**first)), said(**then), US)
    assert applied(CONFIG_MAPS, once, said(**then), US) == once


def test_what_two_say_alike_belongs_to_both_and_stays_until_both_drop_it() -> None:
    both = applied(CONFIG_MAPS, owned_by("them", said(a="x")), said(a="x"), US)
    assert set(owners(both)) == {"them", "us"}
    dropped = applied(CONFIG_MAPS, both, said(), US)
    assert dropped["data"] == {"a": "x"}


def test_a_field_of_another_manager_is_named_in_the_refusal() -> None:
    with pytest.raises(ApiError) as caught:
        applied(CONFIG_MAPS, owned_by("them", said(a="x")), said(a="y"), US)
    assert caught.value.details is not None
    cause = caught.value.details["causes"][0]
    assert cause == {"reason": "FieldManagerConflict", "message": 'conflict with "them"', "field": ".data.a"}


def test_force_takes_the_field_over() -> None:
    taken = applied(CONFIG_MAPS, owned_by("them", said(a="x", b="x")), said(a="y"), FORCED)
    assert taken["data"] == {"a": "y", "b": "x"}
    assert owners(taken) == {"them": {"f:data": {"f:b": {}}}, "us": {"f:data": {"f:a": {}}}}


def test_what_nobody_applied_stays() -> None:
    written = {**said(a="x"), "metadata": {"name": "c", "labels": {"by": "hand"}}}
    assert applied(CONFIG_MAPS, written, said(b="y"), US)["data"] == {"a": "x", "b": "y"}


def containers(*names: str) -> Json:
    told = [{"name": name, "image": "x"} for name in names]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": told}}


def test_an_element_of_a_list_goes_with_what_was_filled_in() -> None:
    before = owned_by("us", containers("a", "b"))
    for container in before["spec"]["containers"]:
        container["imagePullPolicy"] = "Always"

    after = applied(CONFIG_MAPS, before, containers("b"), US)
    assert after["spec"]["containers"] == [{"name": "b", "image": "x", "imagePullPolicy": "Always"}]


def test_an_element_that_somebody_else_names_stays() -> None:
    both = applied(CONFIG_MAPS, owned_by("them", containers("a")), containers("a", "b"), US)
    after = applied(CONFIG_MAPS, both, containers("b"), US)
    assert [container["name"] for container in after["spec"]["containers"]] == ["a", "b"]


def test_an_applier_has_a_name() -> None:
    with pytest.raises(ApiError, match="fieldManager: Required value"):
        Applier(manager="", force=True)
