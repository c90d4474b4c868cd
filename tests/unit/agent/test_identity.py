"""Which way to a token is taken, and that it is kept and renewed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from testkit.blob_server import CLIENT, IDENTITY_HEADER, TOKEN, blob_server

from agent.errors import IdentityBusy, IdentityUnavailable
from agent.identity import Bearer, Sas, credentials_for, token_request
from agent.settings import IdentitySettings

if TYPE_CHECKING:
    from pathlib import Path


def settings(**changes: Any) -> IdentitySettings:
    values: dict[str, Any] = {
        "client_id": None,
        "endpoint": None,
        "header": None,
        "federated_token_file": None,
        "tenant_id": None,
        "authority": "https://login.example/",
        "imds": "http://169.254.169.254",
        "sas_file": None,
    }
    return IdentitySettings(**{**values, **changes})


def test_imds_is_asked_where_there_is_nothing_else() -> None:
    request = token_request(settings(client_id="me"))

    assert request.url.startswith("http://169.254.169.254/metadata/identity/oauth2/token?")
    assert parse_qs(urlsplit(request.url).query)["client_id"] == ["me"]
    assert request.headers == {"Metadata": "true"}


def test_a_federated_token_is_exchanged_at_the_authority(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("assertion\n")

    request = token_request(settings(client_id="me", tenant_id="t", federated_token_file=tmp_path / "token"))

    assert request.url == "https://login.example/t/oauth2/v2.0/token"
    assert request.form is not None
    assert request.form["client_assertion"] == "assertion"
    assert request.form["scope"] == "https://storage.azure.com/.default"


def test_a_token_is_asked_for_once_and_again_after_it_was_refused() -> None:
    with blob_server() as server:
        bearer = Bearer(settings(endpoint=server.identity_endpoint, header=IDENTITY_HEADER))

        assert bearer.headers() == bearer.headers() == {"Authorization": f"Bearer {TOKEN}"}
        assert server.tokens_given.total() == 1
        bearer.forget()
        bearer.headers()
        assert server.tokens_given.total() == 2
        assert bearer.query() == ""


def test_a_token_that_expires_soon_is_renewed_before_it_does() -> None:
    with blob_server() as server:
        server.token_seconds = 0
        bearer = Bearer(settings(imds=server.endpoint, client_id=CLIENT))

        bearer.headers()
        bearer.headers()

        assert server.tokens_given.total() == 2


def test_a_clock_that_is_ahead_does_not_ask_for_a_token_per_request() -> None:
    with blob_server() as server:
        server.token_seconds = -7200
        bearer = Bearer(settings(endpoint=server.identity_endpoint, header=IDENTITY_HEADER))

        bearer.headers()
        bearer.headers()

        assert server.tokens_given.total() == 1


def test_an_identity_that_is_not_there_is_named_at_once() -> None:
    with blob_server() as server:
        bearer = Bearer(settings(endpoint=server.identity_endpoint, header="wrong"))

        with pytest.raises(IdentityUnavailable, match="IDENTITY_ENDPOINT gave no token: HTTP 400") as caught:
            bearer.headers()
        assert "AZURE_CLIENT_ID" in caught.value.remedy


def test_a_token_that_cannot_be_renewed_is_kept_until_it_expires() -> None:
    with blob_server() as server:
        server.token_seconds = 600
        bearer = Bearer(settings(imds=server.endpoint, client_id=CLIENT))
        first = bearer.headers()
        server.unlucky_tokens = [503, 503]

        bearer._renew_at = 0.0
        assert bearer.headers() == first
        assert server.unlucky_tokens == [503]
        bearer.forget()
        with pytest.raises(IdentityBusy, match="IMDS gave no token: HTTP 503"):
            bearer.headers()


def test_a_sas_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    file = tmp_path / "sas"
    file.write_text("?sv=1&sig=x\n")
    credentials = credentials_for(settings(sas_file=file))

    assert isinstance(credentials, Sas)
    assert credentials.query() == "sv=1&sig=x"
    file.unlink()
    with pytest.raises(IdentityUnavailable):
        credentials.query()
