"""The managed-identity endpoint and the Entra authority, as azure-identity and PyJWT see them."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential
from testkit.azure import APP, HEADER, KUBELET, TENANT

if TYPE_CHECKING:
    from testkit.azure import LaptopAzure

STORAGE = "https://storage.azure.com/.default"


def signing_key(azure: LaptopAzure, token: str) -> Any:
    trust = ssl.create_default_context(cafile=str(azure.ca))
    return jwt.PyJWKClient(
        f"{azure.authority}/{TENANT}/discovery/v2.0/keys", ssl_context=trust
    ).get_signing_key_from_jwt(token)


def test_the_apps_token_is_signed_by_the_authority(
    azure: LaptopAzure, app: ManagedIdentityCredential
) -> None:
    token = app.get_token(STORAGE).token
    claims = jwt.decode(
        token, signing_key(azure, token), algorithms=["RS256"], audience="https://storage.azure.com"
    )

    assert (claims["oid"], claims["appid"], claims["tid"]) == (APP["object_id"], APP["client_id"], TENANT)
    assert claims["iss"] == f"https://sts.windows.net/{TENANT}/"
    assert "xms_node" not in claims


def test_a_nodes_token_names_the_node(azure: LaptopAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{azure.identity}/nodes/node-2/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", HEADER)
    with ManagedIdentityCredential(client_id=KUBELET["client_id"]) as kubelet:
        claims = jwt.decode(kubelet.get_token(STORAGE).token, options={"verify_signature": False})

    assert (claims["oid"], claims["xms_node"]) == (KUBELET["object_id"], "node-2")


def test_an_identity_that_is_not_here_is_refused(azure: LaptopAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{azure.identity}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", HEADER)
    with (
        ManagedIdentityCredential(client_id=KUBELET["client_id"]) as other,
        pytest.raises(ClientAuthenticationError, match="No User Assigned or Delegated Managed Identity"),
    ):
        other.get_token(STORAGE)


def ask(azure: LaptopAzure, path: str, query: str, header: str = HEADER) -> tuple[int, str]:
    request = urllib.request.Request(  # noqa: S310 - http on loopback
        f"{azure.identity}{path}?{query}", headers={"X-IDENTITY-HEADER": header}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - same
            return answer.status, ""
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())["message"]


def test_the_header_the_version_and_the_resource_are_checked(azure: LaptopAzure) -> None:
    good = "resource=https://storage.azure.com&api-version=2019-08-01"

    assert ask(azure, "/msi/token", good) == (200, "")
    assert ask(azure, "/msi/token", good, header="guessed")[0] == 401
    assert ask(azure, "/msi/token", "resource=https://storage.azure.com")[0] == 400
    assert (
        "AADSTS500011" in ask(azure, "/msi/token", "resource=https://evil.example&api-version=2019-08-01")[1]
    )


def test_a_node_with_several_identities_must_be_told_which(azure: LaptopAzure) -> None:
    azure.operate("PATCH", "/behaviour", {"nodes_have_several_identities": True})
    good = "resource=https://storage.azure.com&api-version=2019-08-01"

    assert ask(azure, "/nodes/node-1/msi/token", good)[1].startswith(
        "Multiple user assigned identities exist"
    )
    assert ask(azure, "/nodes/node-1/msi/token", f"{good}&client_id={KUBELET['client_id']}") == (200, "")


def fetch(azure: LaptopAzure, path: str, body: object = None) -> Any:
    trust = ssl.create_default_context(cafile=str(azure.ca))
    request = urllib.request.Request(  # noqa: S310 - https on loopback
        f"{azure.authority}/{TENANT}{path}", data=None if body is None else json.dumps(body).encode()
    )
    with urllib.request.urlopen(request, context=trust, timeout=5) as answer:  # noqa: S310 - same
        return json.loads(answer.read())


def test_a_users_token_is_checked_by_what_discovery_says(azure: LaptopAzure) -> None:
    discovered = fetch(azure, "/v2.0/.well-known/openid-configuration")
    user = {"object_id": "someone", "audience": "api://warmup", "roles": ["Warmup.Operate"]}
    token = fetch(azure, "/mint", user)["access_token"]

    trust = ssl.create_default_context(cafile=str(azure.ca))
    key = jwt.PyJWKClient(discovered["jwks_uri"], ssl_context=trust).get_signing_key_from_jwt(token)
    claims = jwt.decode(
        token, key, algorithms=["RS256"], audience="api://warmup", issuer=discovered["issuer"]
    )
    assert (claims["oid"], claims["roles"]) == ("someone", ["Warmup.Operate"])


def test_v1_discovery_names_the_issuer_of_managed_identities(azure: LaptopAzure) -> None:
    assert fetch(azure, "/.well-known/openid-configuration")["issuer"] == f"https://sts.windows.net/{TENANT}/"


def test_a_user_without_an_audience_cannot_be_minted(azure: LaptopAzure) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(azure, "/mint", {"object_id": "someone"})
    with refused.value:
        assert refused.value.code == 400
