from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import jwt
import pytest

from local.azure.settings import Identity
from local.azure.tokens import ExpiredTokenError, InvalidTokenError, Tenant

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = Identity(object_id="object", client_id="client")
AUDIENCE = "https://storage.azure.com"


def tenant(folder: Path, name: str = "signing.key") -> Tenant:
    return Tenant("tenant", folder / name)


def test_a_token_speaks_for_its_identity_and_node(tmp_path: Path) -> None:
    token = tenant(tmp_path).identity_token(IDENTITY, f"{AUDIENCE}/", life_seconds=60, node="node-1")

    caller = tenant(tmp_path).check(token, {AUDIENCE})
    assert (caller.object_id, caller.node) == ("object", "node-1")
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600


def test_a_token_of_another_key_is_refused(tmp_path: Path) -> None:
    token = tenant(tmp_path, "other.key").identity_token(IDENTITY, AUDIENCE, life_seconds=60, node=None)

    with pytest.raises(InvalidTokenError, match="Signature verification failed"):
        tenant(tmp_path).check(token, {AUDIENCE})


def test_an_unsigned_token_is_refused(tmp_path: Path) -> None:
    token = jwt.encode({"oid": "object", "aud": AUDIENCE}, "", algorithm="none")

    with pytest.raises(InvalidTokenError):
        tenant(tmp_path).check(token, {AUDIENCE})


def test_a_token_ends_also_where_it_was_checked_before(tmp_path: Path) -> None:
    here = tenant(tmp_path)
    token = here.identity_token(IDENTITY, AUDIENCE, life_seconds=-1, node=None)

    for _ in range(2):
        with pytest.raises(ExpiredTokenError):
            here.check(token, {AUDIENCE})


def test_a_token_for_another_audience_is_refused(tmp_path: Path) -> None:
    token = tenant(tmp_path).identity_token(IDENTITY, "https://vault.azure.net", life_seconds=60, node=None)

    with pytest.raises(InvalidTokenError, match="vault"):
        tenant(tmp_path).check(token, {AUDIENCE})
