"""What outlives the process, and how it goes when something around it is missing, damaged or hangs."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from testkit.azure import APP_ACCOUNT, HEADER, START_SECONDS, await_ready, configuration, start

from local.certificates import ensure_certificates
from local.ports import held_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


AN_HOUR = 3600


def state_of_a_run(folder: Path, power: str | None = None) -> dict[str, object]:
    """Start, maybe change something, look, stop."""
    process = start(folder / "azure.json")
    try:
        control = await_ready(folder / "endpoints.json", process)["control"]
        if power:
            put(f"{control}/power/blast_aks-1", {"state": power})
        with urllib.request.urlopen(f"{control}/state", timeout=5) as answer:  # noqa: S310 - same
            state: dict[str, object] = json.loads(answer.read())
            return state
    finally:
        process.kill()
        process.wait(timeout=START_SECONDS)
        (folder / "endpoints.json").unlink()


def put(url: str, body: object) -> None:
    request = urllib.request.Request(url, method="PUT", data=json.dumps(body).encode())  # noqa: S310
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - http on loopback


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """What `local.azure` is started on; nothing listens where its Azurite should."""
    ensure_certificates(tmp_path / "tls", "azure")
    with held_port() as port:
        (tmp_path / "azure.json").write_text(json.dumps(configuration(tmp_path, port)))
        yield tmp_path


def test_a_killed_azure_remembers(folder: Path) -> None:
    changed = state_of_a_run(folder, power="Stopped")
    assert state_of_a_run(folder) == changed
    assert list(changed["power"].values()) == ["Stopped"]  # type: ignore[attr-defined]


def test_a_damaged_memory_is_set_aside_and_begun_anew(folder: Path) -> None:
    (folder / "state.json").write_text('{"assignments": [')

    assert state_of_a_run(folder)["power"] == {}
    assert (folder / "state.damaged").read_text() == '{"assignments": ['


def test_it_ends_while_requests_hang(folder: Path) -> None:
    process = start(folder / "azure.json")
    endpoints = await_ready(folder / "endpoints.json", process)
    rules = [{"area": area, "kind": "hang", "seconds": AN_HOUR} for area in ("arm", "blob", "identity")]
    put(f"{endpoints['control']}/faults", {"rules": rules})

    trust = ssl.create_default_context(cafile=str(folder / "tls/ca.pem"))
    with ExitStack() as open_connections:
        for name in ("arm", "blob", "identity"):
            scheme, _, host = endpoints[name].partition("://")
            connection = (
                http.client.HTTPSConnection(host, context=trust)
                if scheme == "https"
                else http.client.HTTPConnection(host)
            )
            open_connections.callback(connection.close)
            connection.request("GET", "/x")
        process.terminate()
        assert process.wait(timeout=START_SECONDS) == 0
    assert (folder / "stderr").read_text() == ""
    assert not (folder / "endpoints.json").exists()


def test_a_dead_azurite_is_said(folder: Path) -> None:
    process = start(folder / "azure.json")
    endpoints = await_ready(folder / "endpoints.json", process)
    try:
        query = "resource=https://storage.azure.com&api-version=2019-08-01"
        asked = urllib.request.Request(  # noqa: S310 - http on loopback
            f"{endpoints['identity']}/msi/token?{query}", headers={"X-IDENTITY-HEADER": HEADER}
        )
        with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310 - same
            bearer = json.loads(answer.read())["access_token"]
        trust = ssl.create_default_context(cafile=str(folder / "tls/ca.pem"))
        gate = http.client.HTTPSConnection(endpoints["blob"].removeprefix("https://"), context=trust)
        gate.request("GET", f"/{APP_ACCOUNT}/c/b", headers={"Authorization": f"Bearer {bearer}"})
        with gate.getresponse() as refused:
            assert (refused.status, refused.headers["x-ms-error-code"]) == (503, "ServerBusy")
            assert b"Azurite does not answer" in refused.read()
        gate.close()
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def test_a_configuration_that_lacks_something_names_it(folder: Path) -> None:
    config = json.loads((folder / "azure.json").read_text())
    del config["tenant_id"]
    (folder / "azure.json").write_text(json.dumps(config))

    process = start(folder / "azure.json")
    assert process.wait(timeout=START_SECONDS) == 1
    assert (folder / "stderr").read_text() == "the configuration lacks 'tenant_id'\n"
