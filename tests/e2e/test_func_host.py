"""Azure Functions Core Tools as the host: how the stack starts a program named `func`, and how it ends it.

The program here stands for Microsoft's. It writes down what it was started with and serves the health route.
"""

import json
import ssl
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from local import hosts, stack
from local.hosts import HostError
from local.places import REPOSITORY, Places
from local.stack import Stack

pytestmark = pytest.mark.stack

Json = dict[str, Any]

FUNC = """#!{python}
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

found = sorted(str(file.relative_to(Path.cwd())) for file in Path.cwd().rglob("*") if file.is_file())
seen = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ), "files": found}}
Path({record!r}).write_text(json.dumps(seen))
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Health).serve_forever()
"""


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the program wrote down; it is first on PATH while the module's tests run."""
    programs = tmp_path_factory.mktemp("programs")
    program, written = programs / "func", programs / "seen.json"
    program.write_text(FUNC.format(python=sys.executable, record=str(written)))
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STACK_HOST", "func")
        environment.setenv("PATH", str(programs), prepend=":")
        yield written


@pytest.fixture(scope="module")
def up(record: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    assert record
    places = Places(root=tmp_path_factory.mktemp("stack"))
    yield stack.up(places)
    stack.down(places)


@pytest.fixture(scope="module")
def seen(up: Stack, record: Path) -> Json:
    assert up.is_up  # the health route was awaited
    found: Json = json.loads(record.read_text())
    return found


def settings(up: Stack) -> dict[str, str]:
    file = up.wiring.places.func_app / "local.settings.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    values: dict[str, str] = json.loads(file.read_text())["Values"]
    return values


def test_it_is_started_in_a_copy_of_what_is_deployed(up: Stack, seen: Json) -> None:
    package = (REPOSITORY / "tests/golden/package.txt").read_text().split()

    assert seen["arguments"] == ["start", "--port", str(up.wiring.ports.host)]
    assert seen["folder"] == str(up.wiring.places.func_app)
    assert set(seen["files"]) == {*package, "local.settings.json"}


def test_its_settings_are_the_embedded_hosts_and_what_the_worker_needs(up: Stack) -> None:
    told = settings(up)

    assert told["FUNCTIONS_WORKER_RUNTIME"] == "python"
    assert told["PYTHON_THREADPOOL_THREAD_COUNT"] == "16"
    assert told["AzureWebJobsStorage__blobServiceUri"].startswith("https://127.0.0.1:")
    assert up.wiring.post.settings.items() <= told.items()


def test_no_secret_is_in_its_environment_or_its_arguments(up: Stack, seen: Json) -> None:
    key = settings(up)["AzureWebJobsStorage"].partition("AccountKey=")[2].partition(";")[0]
    written = json.dumps(seen["environment"]) + json.dumps(seen["arguments"])

    assert len(key) > 40
    assert key not in written
    assert settings(up)["IDENTITY_HEADER"] not in written


def test_its_task_hub_finds_blobs_queues_and_tables(up: Stack, seen: Json) -> None:
    connection = settings(up)["AzureWebJobsStorage"]
    trusted = seen["environment"]["SSL_CERT_FILE"]
    with BlobServiceClient.from_connection_string(connection, connection_verify=trusted) as account:
        assert list(account.list_containers()) is not None
    parts = dict(part.split("=", 1) for part in connection.split(";"))
    servers = [server_of(parts[f"{name}Endpoint"], trusted) for name in ("Queue", "Table")]

    assert [name.partition("/")[0] for name in servers] == ["Azurite-Queue", "Azurite-Table"]


def server_of(endpoint: str, trusted: str) -> str:
    """Who answers there, even if only to refuse an unsigned request."""
    context = ssl.create_default_context(cafile=trusted)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(endpoint, timeout=30, context=context)  # noqa: S310 - loopback
    with refused.value as answer:
        return str(answer.headers["Server"])


def test_it_ends_with_the_stack_and_leaves_nothing_in_the_repository(record: Path, tmp_path: Path) -> None:
    before = set(REPOSITORY.glob("*"))
    places = Places(root=tmp_path)
    started = stack.up(places)
    assert stack.down(places)

    assert record.exists()
    assert started.is_down
    assert stack.all_free(started.wiring.ports)
    assert set(REPOSITORY.glob("*")) == before


def test_without_core_tools_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(HostError, match="npm install -g azure-functions-core-tools@4"):
        hosts.chosen("func")


def test_a_host_that_does_not_exist_is_refused() -> None:
    with pytest.raises(HostError, match="HOST is 'tomcat'; there are embedded, the default, and func"):
        hosts.chosen("tomcat")
