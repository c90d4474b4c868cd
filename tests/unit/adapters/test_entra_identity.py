"""Tokens, good and forged, against a real authority on loopback."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from testkit.authority import CLIENT, SOMEBODY, TENANT, Authority, authority, new_key

from shared.adapters.entra_identity import ASK_AGAIN_SECONDS, KEYS_LAST_SECONDS, EntraIdentity, Tenant
from shared.domain.callers import Caller, Stranger
from shared.ports import PassingError


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with authority(tmp_path_factory.mktemp("authority")) as one:
        yield one


@pytest.fixture
def entra(served: Authority) -> Authority:
    served.down = False
    served.fetches = 0
    served.issuer = f"{served.url}/{TENANT}/v2.0"
    served.keys = {"first": served.keys["first"]}
    return served


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def identity(entra: Authority, clock: Clock) -> EntraIdentity:
    return EntraIdentity(tenant(entra), clock)


def tenant(entra: Authority, ca: Path | None = None) -> Tenant:
    return Tenant(authority_host=entra.url, tenant_id=TENANT, client_id=CLIENT, ca_bundle=ca or entra.ca)


def judged(identity: EntraIdentity, token: str) -> Caller | Stranger | None:
    """As the gate does: learn once, where that may help."""
    found = identity.recognise(token)
    if found is None:
        identity.learn()
        found = identity.recognise(token)
    return found


def test_a_good_token_names_its_caller_and_roles(entra: Authority, identity: EntraIdentity) -> None:
    token = entra.token(roles=["Warmup.Operate"])

    assert judged(identity, token) == Caller(object_id=SOMEBODY, roles=frozenset({"Warmup.Operate"}))


@pytest.mark.parametrize("audience", [CLIENT, f"api://{CLIENT}", [f"api://{CLIENT}", "other"]])
def test_both_names_of_the_app_are_audiences(
    entra: Authority, identity: EntraIdentity, audience: object
) -> None:
    assert isinstance(judged(identity, entra.token(aud=audience)), Caller)


def test_tokens_of_the_older_issuer_are_accepted(entra: Authority, identity: EntraIdentity) -> None:
    assert isinstance(judged(identity, entra.token(iss=f"https://sts.windows.net/{TENANT}/")), Caller)


def test_the_issuer_is_the_one_that_the_tenant_publishes(entra: Authority, identity: EntraIdentity) -> None:
    entra.issuer = f"https://login.partner.microsoftonline.cn/{TENANT}/v2.0"

    assert isinstance(judged(identity, entra.token()), Caller)
    assert isinstance(judged(identity, entra.token(iss=f"{entra.url}/{TENANT}/v2.0")), Stranger)


def test_an_authority_that_names_no_issuer_is_told(entra: Authority, identity: EntraIdentity) -> None:
    entra.issuer = None

    with pytest.raises(PassingError, match="names no issuer"):
        judged(identity, entra.token())


@pytest.mark.parametrize(
    ("authority_host", "issuer"),
    [
        ("https://login.microsoftonline.com", f"https://sts.windows.net/{TENANT}/"),
        ("https://login.microsoftonline.us", f"https://sts.windows.net/{TENANT}/"),
        ("https://login.chinacloudapi.cn", f"https://sts.chinacloudapi.cn/{TENANT}/"),
        ("https://login.partner.microsoftonline.cn", f"https://sts.chinacloudapi.cn/{TENANT}/"),
    ],
)
def test_the_older_issuer_is_that_of_the_cloud(authority_host: str, issuer: str) -> None:
    told = Tenant(authority_host=authority_host, tenant_id=TENANT, client_id=CLIENT, ca_bundle=None)

    assert told.older_issuer == issuer


def test_clocks_may_differ_by_two_minutes(entra: Authority, identity: EntraIdentity) -> None:
    now = int(time.time())

    assert isinstance(judged(identity, entra.token(exp=now - 60, iat=now + 60)), Caller)
    assert isinstance(judged(identity, entra.token(exp=now - 600)), Stranger)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "somebody-else"},
        {"iss": "https://sts.windows.net/55555555-5555-4555-8555-555555555555/"},
        {"iss": None},
        {"exp": None},
        {"iat": None},
        {"aud": None},
        {"oid": None},
        {"oid": 7},
        {"oid": ""},
        {"roles": "Warmup.Operate"},
        {"exp": "never"},
        {"nbf": 4_000_000_000},
    ],
)
def test_a_claim_that_is_wrong_or_missing_makes_a_stranger(
    entra: Authority, identity: EntraIdentity, changes: dict[str, Any]
) -> None:
    assert isinstance(judged(identity, entra.token(**changes)), Stranger)


def test_an_unsigned_token_makes_a_stranger(entra: Authority, identity: EntraIdentity) -> None:
    unsigned = jwt.encode(entra.claims(), "", algorithm="none", headers={"kid": "first"})

    assert isinstance(judged(identity, unsigned), Stranger)


def test_a_token_signed_with_the_public_key_as_a_password_makes_a_stranger(
    entra: Authority, identity: EntraIdentity
) -> None:
    confused = jwt.encode(entra.claims(), "k" * 64, algorithm="HS256", headers={"kid": "first"})

    assert isinstance(judged(identity, confused), Stranger)


def test_a_token_signed_by_another_key_under_a_known_id_makes_a_stranger(
    entra: Authority, identity: EntraIdentity
) -> None:
    forged = jwt.encode(entra.claims(), new_key(), algorithm="RS256", headers={"kid": "first"})

    assert isinstance(judged(identity, forged), Stranger)


def test_a_token_whose_claims_were_changed_makes_a_stranger(
    entra: Authority, identity: EntraIdentity
) -> None:
    head, _, signature = entra.token().split(".")
    claims = base64.urlsafe_b64encode(json.dumps(entra.claims(oid="admin")).encode()).decode().rstrip("=")

    assert isinstance(judged(identity, f"{head}.{claims}.{signature}"), Stranger)


NESTED = base64.urlsafe_b64encode(b"[" * 9_000).decode()  # deeper than any parser goes


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.b.c", "undefined", "é.é.é", "e30.e30.e30", "x" * 9_000, f"{NESTED}.e30.e30"],
    ids=range(8),
)
def test_what_is_no_token_makes_a_stranger_without_a_fetch(
    entra: Authority, identity: EntraIdentity, text: str
) -> None:
    assert isinstance(judged(identity, text), Stranger)
    assert entra.fetches == 0


def test_invented_key_ids_cause_one_fetch(entra: Authority, identity: EntraIdentity) -> None:
    for number in range(20):
        forged = jwt.encode(entra.claims(), entra.keys["first"], "RS256", headers={"kid": f"k{number}"})
        assert isinstance(judged(identity, forged), Stranger)

    assert entra.fetches == 1


def test_a_new_key_is_learned_when_a_token_names_it(
    entra: Authority, identity: EntraIdentity, clock: Clock
) -> None:
    judged(identity, entra.token())
    entra.keys["second"] = new_key()
    clock.seconds += ASK_AGAIN_SECONDS

    assert isinstance(judged(identity, entra.token("second")), Caller)


def test_known_keys_are_not_fetched_again_for_a_day(
    entra: Authority, identity: EntraIdentity, clock: Clock
) -> None:
    for _ in range(20):
        clock.seconds += KEYS_LAST_SECONDS / 20 - 1
        assert isinstance(judged(identity, entra.token()), Caller)

    assert entra.fetches == 1


def test_without_keys_nobody_is_judged(entra: Authority, identity: EntraIdentity) -> None:
    entra.down = True

    with pytest.raises(PassingError, match="keys of tenant"):
        judged(identity, entra.token())


def test_an_authority_that_goes_down_does_not_lock_out_known_keys(
    entra: Authority, identity: EntraIdentity, clock: Clock
) -> None:
    judged(identity, entra.token())
    entra.down = True
    clock.seconds += KEYS_LAST_SECONDS + 1

    assert isinstance(judged(identity, entra.token()), Caller)


def test_an_authority_with_another_certificate_is_not_believed(
    entra: Authority, clock: Clock, tmp_path: Path
) -> None:
    with authority(tmp_path) as impostor, pytest.raises(PassingError):
        judged(EntraIdentity(tenant(entra, ca=impostor.ca), clock), entra.token())
