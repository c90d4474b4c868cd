"""What the environment may say, and what it may not."""

from __future__ import annotations

import pytest

from agent.errors import BadManifest
from agent.settings import parse_endpoint, parse_settings

ENDPOINT = {"WARMUP_BLOB_ENDPOINT": "https://acct.blob.core.windows.net/"}


def test_the_least_environment_suffices() -> None:
    settings = parse_settings(ENDPOINT)

    assert (settings.mode, settings.engine, settings.ceiling_bytes_per_second) == ("warm", "ranged", None)
    assert str(settings.directory) == "/workspace/blast"
    assert settings.role_patience_seconds == 600  # as long as a new role may take to act


def test_a_ceiling_is_in_megabytes() -> None:
    assert parse_settings({**ENDPOINT, "WARMUP_MAX_MBPS": "12.5"}).ceiling_bytes_per_second == 12_500_000


def test_a_release_needs_no_account() -> None:
    settings = parse_settings({"WARMUP_MODE": "release"})

    assert settings.endpoint.host.endswith(".invalid")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WARMUP_MODE", "wipe"),
        ("WARMUP_ENGINE", "curl"),
        ("WARMUP_MAX_MBPS", "fast"),
        ("WARMUP_MAX_MBPS", "-1"),
        ("WARMUP_DEADLINE_SECONDS", "nan"),
        ("WARMUP_DEADLINE", "tomorrow"),
        ("WARMUP_DEADLINE", "2026-01-31T12:00:00"),
        ("WARMUP_BLOB_ENDPOINT", ""),
        ("WARMUP_BLOB_ENDPOINT", "ftp://acct/"),
        ("WARMUP_BLOB_ENDPOINT", "https://"),
        ("WARMUP_BLOB_ENDPOINT", "https://host:port/"),
        ("WARMUP_BLOB_ENDPOINT", "https://[x/"),
        ("WARMUP_BLOB_ENDPOINT", "https://user@acct/"),
        ("WARMUP_BLOB_ENDPOINT", "http://acct.blob.core.windows.net/"),
    ],
)
def test_a_senseless_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(BadManifest, match=name):
        parse_settings({**ENDPOINT, name: value})


def test_azcopy_is_never_given_a_sas() -> None:
    with pytest.raises(BadManifest, match="to the whole node"):
        parse_settings({**ENDPOINT, "WARMUP_ENGINE": "azcopy", "WARMUP_SAS_FILE": "/sas"})


def test_an_endpoint_may_have_a_path_and_a_port() -> None:
    endpoint = parse_endpoint("https://127.0.0.1:10443/acct/")

    assert (endpoint.origin, endpoint.path) == ("https://127.0.0.1:10443", "/acct")
