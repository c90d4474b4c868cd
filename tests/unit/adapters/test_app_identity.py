"""Tokens of the app's own, from an identity endpoint that throttles, fails, or talks nonsense."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar

import pytest

from shared.adapters.azure_clients import RETRIES, AzureClients, Patience
from shared.adapters.errors import calling
from shared.domain.refusals import Reason, Refusal
from shared.ports import PassingError
from shared.settings import AzureSettings

SCOPE = "https://management.azure.com/.default"
REFUSAL = Refusal(reason=Reason.ACCOUNT_FORBIDDEN, message="no", remedy="yes")
Answer = tuple[int, dict[str, str], str]
TOKEN: Answer = (
    200,
    {"Content-Type": "application/json"},
    json.dumps({"access_token": "a-token", "expires_on": "4102444800", "token_type": "Bearer"}),
)
ASKS_FOR_TEN_MINUTES: Answer = (429, {"Retry-After": "600"}, "")


class Endpoint(BaseHTTPRequestHandler):
    """Gives one answer after the other, the last one for ever."""

    answers: ClassVar[list[Answer]]
    asked: ClassVar[int]

    def do_GET(self) -> None:
        status, headers, body = type(self).answers[min(type(self).asked, len(type(self).answers) - 1)]
        type(self).asked += 1
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@contextmanager
def endpoint(monkeypatch: pytest.MonkeyPatch, *answers: Answer) -> Iterator[AzureClients]:
    Endpoint.answers, Endpoint.asked = list(answers), 0
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    serving = Thread(target=server.serve_forever, daemon=True)
    serving.start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "a-header")
    try:
        yield AzureClients(
            AzureSettings(
                arm_endpoint="https://management.azure.com",
                authority_host="https://login.microsoftonline.com",
                client_id="11111111-0000-4000-8000-000000000001",
                ca_bundle=None,
                state_endpoint="https://x.blob.core.windows.net",
                state_container="warmup-state",
            ),
            Patience(token_pauses_seconds=(0.0,) * RETRIES),
        )
    finally:
        server.shutdown()
        server.server_close()


def token(clients: AzureClients) -> str:
    with calling("signing in", lambda _: REFUSAL):
        return clients.token(SCOPE)


@pytest.mark.parametrize(
    "failure",
    [(503, {}, "busy"), (200, {}, ""), (200, {}, "[]"), (200, {}, "{}")],
    ids=["failing", "empty", "a list", "no token in it"],
)
def test_an_endpoint_that_fails_once_is_asked_again(monkeypatch: pytest.MonkeyPatch, failure: Answer) -> None:
    with endpoint(monkeypatch, failure, TOKEN) as clients:
        assert token(clients) == "a-token"
        assert Endpoint.asked == 2


@pytest.mark.parametrize(
    ("failure", "asked"),
    [
        (ASKS_FOR_TEN_MINUTES, 1),  # MSAL itself answers for it in these
        ((400, {}, '{"message": "no such identity"}'), 1 + RETRIES),
        ((200, {}, "<html>"), 1 + RETRIES),
    ],
    ids=["throttled", "refused", "talks"],
)
def test_an_endpoint_that_goes_on_failing_holds_no_thread_and_is_a_matter_of_patience(
    monkeypatch: pytest.MonkeyPatch, failure: Answer, asked: int
) -> None:
    with endpoint(monkeypatch, failure) as clients, pytest.raises(PassingError):
        token(clients)
    assert Endpoint.asked == asked


def test_what_an_endpoint_says_is_in_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken: Answer = (200, {}, '{"access_token": "a-marked-secret", ')
    with endpoint(monkeypatch, broken) as clients, pytest.raises(PassingError) as failed:
        token(clients)
    assert "a-marked-secret" not in caplog.text + str(failed.value)
