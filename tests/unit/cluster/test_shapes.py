from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cluster.defaulting import with_defaults
from local.cluster.failures import ApiError
from local.cluster.resources import CONFIG_MAPS, DAEMON_SETS, PODS
from local.cluster.shapes import shaped
from local.cluster.validation import validate

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["spec", "template", "containers", "name", "volumes", "env", "hostPath", "labels", "metadata"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(body=values, kind=st.sampled_from([PODS, DAEMON_SETS, CONFIG_MAPS]))
def test_no_body_breaks_the_server(body: Any, kind: Any) -> None:
    """Whatever JSON comes, the answer is an object or a refusal."""
    try:
        item = shaped(kind, body)
        named = {**item, "metadata": {**item.get("metadata", {}), "name": "n"}}
        validate(kind, with_defaults(kind, named), None)
    except ApiError as refusal:
        assert refusal.code in {400, 422}  # noqa: PT017 - most bodies are refused, and that is fine


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"data": {"k": 1}}, "cannot unmarshal number into Go struct field ConfigMap.data.k of type string"),
        ({"data": ["k"]}, "cannot unmarshal array into Go struct field ConfigMap.data of type struct"),
        (
            {"immutable": "yes"},
            "cannot unmarshal string into Go struct field ConfigMap.immutable of type bool",
        ),
    ],
)
def test_a_wrong_type_is_told_as_go_tells_it(body: Any, told: str) -> None:
    with pytest.raises(ApiError) as caught:
        shaped(CONFIG_MAPS, body)
    assert told in str(caught.value)


def test_null_is_as_if_nothing_had_been_said() -> None:
    assert shaped(CONFIG_MAPS, {"metadata": {"name": "c"}, "data": None}) == {"metadata": {"name": "c"}}


def test_fields_that_are_not_imitated_are_kept() -> None:
    spec = {"containers": [{"name": "c", "livenessProbe": {"exec": {"command": ["x"]}}}]}
    assert shaped(PODS, {"spec": spec})["spec"] == spec
