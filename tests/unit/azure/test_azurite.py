from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from local.azurite import (
    AzuriteError,
    AzuritePlan,
    account_keys,
    command,
    environment,
    is_ready,
    wait_until_ready,
)
from local.certificates import ensure_certificates

if TYPE_CHECKING:
    from pathlib import Path

NOBODYS_PORT = 1


def plan(folder: Path) -> AzuritePlan:
    certificates = ensure_certificates(folder / "tls", "azurite")
    return AzuritePlan(
        folder=folder / "blobs", port=NOBODYS_PORT, certificates=certificates, accounts=("one", "two")
    )


def test_keys_are_drawn_once_and_kept_for_their_owner(tmp_path: Path) -> None:
    first = account_keys(plan(tmp_path))

    assert account_keys(plan(tmp_path)) == first
    assert first["one"] != first["two"]
    assert stat.S_IMODE((tmp_path / "blobs/keys.json").stat().st_mode) == 0o600


def test_no_key_stands_on_the_command_line(tmp_path: Path) -> None:
    keys = account_keys(plan(tmp_path))

    assert not any(key in word for key in keys.values() for word in command(plan(tmp_path)))
    assert environment(plan(tmp_path))["AZURITE_ACCOUNTS"] == f"one:{keys['one']};two:{keys['two']}"


def test_a_server_that_never_listens_is_named_with_its_port(tmp_path: Path) -> None:
    assert not is_ready(plan(tmp_path))
    with pytest.raises(AzuriteError, match=r"127\.0\.0\.1:1 within 0 s"):
        wait_until_ready(plan(tmp_path), seconds=0)
