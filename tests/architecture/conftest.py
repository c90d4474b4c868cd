"""The app as Azure's own worker library sees it, indexed and invoked once for all tests here."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from testkit import builders as a
from testkit.worker import REPOSITORY, run_worker

from shared.domain.runs import EndedRun
from shared.wire import encode

RUN_ID = "0123456789abcdef0123456789abcdef"
CLOSED = "https://127.0.0.1:9/state"  # nothing listens there


class Refusing(BaseHTTPRequestHandler):
    """Identity endpoint and task hub of a platform that is out of order: whatever is asked is refused."""

    def do_GET(self) -> None:
        self.send_response(400)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def platform() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def worker(platform: str) -> dict[str, Any]:
    """What the app gives when each kind of trigger fires once."""
    return run_worker(
        REPOSITORY, sample_settings(platform), [health(), first_turn(), ending(), round_of(platform)]
    )


def sample_settings(platform: str) -> dict[str, str]:
    document = json.loads(Path(REPOSITORY, "local.settings.sample.json").read_text(encoding="utf-8"))
    reachable = {
        "AzureWebJobsStorage__blobServiceUri": CLOSED,
        "IDENTITY_ENDPOINT": f"{platform}/msi/token",
        "IDENTITY_HEADER": "header",
        "AZURE_CLIENT_ID": "client",
    }
    return dict(document["Values"]) | reachable


def health() -> dict[str, Any]:
    request = {"method": "GET", "url": "http://127.0.0.1/api/health"}
    return {"function": "read_health", "inputs": {"req": ["http", request]}}


def first_turn() -> dict[str, Any]:
    """The history of an orchestration that has just been started."""
    started = {
        "EventType": 0,
        "EventId": -1,
        "IsPlayed": False,
        "Timestamp": "2026-05-01T12:00:00.000000Z",
        "Name": "warm_databases",
        "Version": "1.0",
        "Input": json.dumps(json.dumps(encode(a.run()))),
    }
    turn = {"EventType": 12, "EventId": -1, "IsPlayed": False, "Timestamp": "2026-05-01T12:00:00.000000Z"}
    context = {
        "history": [turn, started],
        "instanceId": RUN_ID,
        "isReplaying": False,
        "parentInstanceId": None,
        "input": json.dumps(encode(a.run())),
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
    }
    return {"function": "warm_databases", "inputs": {"context": ["string", json.dumps(context)]}}


def ending() -> dict[str, Any]:
    """The one activity that needs nothing of the world."""
    ended = EndedRun(
        run_id=RUN_ID, status="succeeded", cluster="c", databases="nt", error="", bytes_fetched=0, seconds=1.0
    )
    return {"function": "record_ending", "inputs": {"payload": ["json", json.dumps(encode(ended))]}}


def round_of(platform: str) -> dict[str, Any]:
    """The janitor's timer, with a durable client as the host binds it."""
    client = {
        "taskHubName": "WarmupHub",
        "creationUrls": {},
        "managementUrls": {},
        "baseUrl": f"{platform}/runtime/webhooks/durabletask",
        "requiredQueryStringParameters": "code=key",
        "rpcBaseUrl": f"{platform}/durabletask/",
    }
    timer = {"Schedule": {"AdjustForDST": True}, "IsPastDue": False}
    return {
        "function": "put_away",
        "inputs": {"timer": ["json", json.dumps(timer)], "client": ["string", json.dumps(client)]},
    }
