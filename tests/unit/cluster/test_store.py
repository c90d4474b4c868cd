from __future__ import annotations

from typing import Any

import pytest

from local.cluster.failures import ApiError
from local.cluster.paging import FROZEN_LISTS, Pages
from local.cluster.resources import CONFIG_MAPS
from local.cluster.store import HISTORY_CHANGES, Store

Json = dict[str, Any]


def config_map(name: str = "c", **more: Any) -> Json:
    return {"metadata": {"name": name, "namespace": "n", **more}}


def test_each_change_has_a_version_of_its_own() -> None:
    store = Store()
    made = store.create(CONFIG_MAPS, config_map())
    changed = store.update(CONFIG_MAPS, {**made, "data": {"a": "1"}})
    assert int(changed["metadata"]["resourceVersion"]) == int(made["metadata"]["resourceVersion"]) + 1


def test_saying_nothing_new_makes_no_version() -> None:
    store = Store()
    made = store.create(CONFIG_MAPS, config_map())
    assert store.update(CONFIG_MAPS, dict(made)) is made


def test_a_write_over_an_old_version_is_a_conflict() -> None:
    store = Store()
    made = store.create(CONFIG_MAPS, config_map())
    store.update(CONFIG_MAPS, {**made, "data": {"a": "1"}})
    with pytest.raises(ApiError, match="the object has been modified"):
        store.update(CONFIG_MAPS, {**made, "data": {"a": "2"}})


def test_a_feed_tells_what_happened_since_a_version() -> None:
    store = Store()
    made = store.create(CONFIG_MAPS, config_map())
    since = store.version
    changed = store.update(CONFIG_MAPS, {**made, "data": {"a": "1"}})
    store.remove(CONFIG_MAPS, "n", "c")
    told = [(change.type, change.before) for change in store.subscribe(since).drain()]
    assert told == [("MODIFIED", made), ("DELETED", changed)]


def test_what_is_too_long_ago_is_forgotten() -> None:
    store = Store()
    item = store.create(CONFIG_MAPS, config_map())
    for number in range(HISTORY_CHANGES):
        item = store.update(CONFIG_MAPS, {**item, "data": {"n": str(number)}})
    with pytest.raises(ApiError, match="too old resource version"):
        store.subscribe(1)
    assert list(store.subscribe(store.version).drain()) == []


def test_a_deleted_object_goes_with_its_last_finalizer() -> None:
    store = Store()
    made = store.create(CONFIG_MAPS, config_map(finalizers=["a"], deletionTimestamp="2026-01-01T00:00:00Z"))
    store.update(CONFIG_MAPS, {**made, "metadata": {**made["metadata"], "finalizers": []}})
    assert store.list(CONFIG_MAPS) == []


def test_a_list_that_was_forgotten_must_be_begun_again() -> None:
    pages = Pages()
    items = [config_map(str(number)) for number in range(3)]
    token = pages.first(items, 1, limit=2).token
    assert len(pages.next(token, limit=2).items) == 1
    for _ in range(FROZEN_LISTS):
        pages.first(items, 1, limit=2)
    with pytest.raises(ApiError) as caught:
        pages.next(token, limit=2)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
