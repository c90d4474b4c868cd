"""Whatever is sent, the answer is a sentence and never a fault of the app."""

import json
import urllib.parse
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit.doors import Doors, smallest

ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = (*smallest("c1"), "databases", "database_name", "acr_name", "num_nodes", "dry_run", "program")
QUERIES = (
    "monitor/aks/warmup-status?subscription_id={0}&resource_group={0}&cluster_name={0}",
    "blast/databases?subscription_id={0}&storage_account={0}",
    "warmup/{0}/status",
    "warmup/0123456789abcdef/nodes?top={0}&continuation={0}",
    "tasks/{0}",
)


@given(field=st.sampled_from(FIELDS), value=ANY_JSON)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_value_in_any_field_of_a_start_is_answered(running: Doors, field: str, value: Any) -> None:
    body = smallest(f"c{uuid.uuid4().hex[:8]}") | {field: value}

    answer = running.start(body)

    assert answer.status in (202, 400)
    assert answer.status == 202 or set(answer.json) == {"error"}


@given(body=st.binary(max_size=200))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_any_bytes_as_a_start_are_400(running: Doors, body: bytes) -> None:
    try:
        sent = body.decode("utf-8")
        is_object = isinstance(json.loads(sent), dict)
    except ValueError:
        sent, is_object = body.decode("latin-1"), False

    answer = running.post("warmup/start", sent)

    assert answer.status == 400 or is_object


@given(text=st.text(min_size=1, max_size=60))
@settings(max_examples=60, deadline=None, derandomize=True)
@pytest.mark.parametrize("query", QUERIES)
def test_any_text_in_a_query_or_path_is_answered(running: Doors, query: str, text: str) -> None:
    quoted = urllib.parse.quote(text.encode("utf-8", "surrogatepass"), safe="")

    answer = running.get(query.format(quoted))

    assert answer.status in (200, 400, 404, 405)
