"""host.json and local.settings.json as the host reads them."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from local.host.config import (
    ConfigError,
    load_host_config,
    load_local_settings,
    resolve_settings,
    worker_threads,
)


def write(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def test_without_a_file_the_documented_defaults_hold(tmp_path: Path) -> None:
    config = load_host_config(tmp_path)
    assert (config.hub_name, config.route_prefix) == ("TestHubName", "api")
    assert config.function_timeout == timedelta(minutes=30)
    assert config.max_activities == 10 * (os.cpu_count() or 1)


def test_every_key_that_is_obeyed_is_read(tmp_path: Path) -> None:
    durable = {
        "hubName": "Hub",
        "maxConcurrentActivityFunctions": 3,
        "maxConcurrentOrchestratorFunctions": 2,
        "storageProvider": {"maxQueuePollingInterval": "00:00:02"},
    }
    http = {"routePrefix": "", "customHeaders": {"X-A": "b"}}
    write(
        tmp_path, "host.json", {"functionTimeout": "-1", "extensions": {"durableTask": durable, "http": http}}
    )
    config = load_host_config(tmp_path)
    assert (config.hub_name, config.route_prefix, config.custom_headers) == ("Hub", "", {"X-A": "b"})
    assert (config.max_activities, config.max_orchestrators) == (3, 2)
    assert config.function_timeout is None
    assert config.max_polling_interval == timedelta(seconds=2)


def test_the_process_environment_wins_over_local_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_TEST_TAKEN", "process")
    monkeypatch.delenv("HOST_TEST_FREE", raising=False)
    write(tmp_path, "local.settings.json", {"Values": {"HOST_TEST_TAKEN": "file", "HOST_TEST_FREE": 5}})
    load_local_settings(tmp_path)
    assert os.environ["HOST_TEST_TAKEN"] == "process"
    assert os.environ.pop("HOST_TEST_FREE") == "5"


def test_a_missing_setting_in_a_binding_is_named() -> None:
    with pytest.raises(ConfigError, match="no setting HOST_TEST_MISSING exists"):
        resolve_settings("%HOST_TEST_MISSING%")


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"host\.json is not valid JSON"):
        load_host_config(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"functionTimeout": 5}, "functionTimeout is 5; write a text in quotes"),
        ({"extensions": {"http": {"routePrefix": None}}}, "routePrefix is null; write a text"),
        ({"extensions": {"durableTask": {"hubName": 5}}}, "hubName is 5; write a text"),
        (
            {"extensions": {"http": {"customHeaders": ["X-A"]}}},
            r'customHeaders is \["X-A"\]; write an object',
        ),
        ({"extensions": {"http": {"customHeaders": {"X-A": 1}}}}, "X-A is 1; write a text"),
        ({"extensions": "none"}, 'extensions is "none"; write an object'),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(tmp_path: Path, content: object, said: str) -> None:
    write(tmp_path, "host.json", content)
    with pytest.raises(ConfigError, match=said):
        load_host_config(tmp_path)


def test_comments_are_read_over_as_on_the_real_host(tmp_path: Path) -> None:
    text = '{ // ours\n "extensions": {"http": {"routePrefix": "a//b" /* not\n"c" */}}}\n'
    (tmp_path / "host.json").write_text(text, encoding="utf-8")
    assert load_host_config(tmp_path).route_prefix == "a//b"


def test_settings_that_are_no_object_are_named(tmp_path: Path) -> None:
    write(tmp_path, "local.settings.json", {"Values": ["A"]})
    with pytest.raises(ConfigError, match="Values is"):
        load_local_settings(tmp_path)


def test_a_number_of_slots_that_is_none_is_named(tmp_path: Path) -> None:
    durable = {"maxConcurrentActivityFunctions": "many"}
    write(tmp_path, "host.json", {"extensions": {"durableTask": durable}})
    with pytest.raises(ConfigError, match="maxConcurrentActivityFunctions is 'many'"):
        load_host_config(tmp_path)


@pytest.mark.parametrize("text", ["0", "-1", "six"])
def test_a_number_of_threads_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PYTHON_THREADPOOL_THREAD_COUNT", text)
    with pytest.raises(ConfigError, match="PYTHON_THREADPOOL_THREAD_COUNT is"):
        worker_threads()
