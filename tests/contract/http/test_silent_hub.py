"""A task hub that does not answer: what was last known is told, or 503, and never that a run is lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from azure.durable_functions.models.utils import http_utils
from testkit.memory_ports import MemoryClusters, Stage

from entrypoints.answering import Answer, respond
from entrypoints.authorising import Gate
from entrypoints.task_hub import TaskHub
from entrypoints.waiting import SharedQuestions
from entrypoints.watching import WatchingPorts, list_active_warmups, read_task, read_warmup_status
from shared.domain.callers import Permissions

RUN = "0123456789abcdef0123456789abcdef"
RUNNING = {
    "name": "warm_databases",
    "instanceId": RUN,
    "runtimeStatus": "Running",
    "input": None,
    "customStatus": {"phase": "warming_up", "db": "core_nt"},
    "output": None,
    "createdTime": "2026-05-26T12:00:00Z",
    "lastUpdatedTime": "2026-05-26T12:01:00Z",
}
Door = Callable[[func.HttpRequest, TaskHub, WatchingPorts], Awaitable[Answer]]


class Hub:
    """Answers as a hub does, until it is told to break off, to fall silent, or to answer with an error."""

    def __init__(self) -> None:
        self.mood = "well"

    async def one(self, request: web.Request) -> web.Response:
        await self._behave(request)
        if self.mood == "absent":
            return web.Response(status=404)
        if self.mood.isdigit():
            return web.json_response({"Message": "Something went wrong"}, status=int(self.mood))
        return web.json_response(RUNNING | self._odd, status=202)

    async def all(self, request: web.Request) -> web.Response:
        await self._behave(request)
        return web.json_response([RUNNING | self._odd])

    @property
    def _odd(self) -> dict[str, str]:
        return {"runtimeStatus": "Sideways"} if self.mood == "odd" else {}

    async def _behave(self, request: web.Request) -> None:
        if self.mood == "silent":
            await asyncio.Event().wait()
        if self.mood == "broken" and request.transport is not None:
            request.transport.abort()


@asynccontextmanager
async def served(hub: Hub) -> AsyncIterator[TaskHub]:
    """The hub behind the SDK's own client."""
    app = web.Application()
    app.router.add_get("/durabletask/instances/{id}", hub.one)
    app.router.add_get("/durabletask/instances", hub.all)
    async with TestServer(app) as server:
        binding = {
            "taskHubName": "hub",
            "creationUrls": {},
            "managementUrls": {},
            "rpcBaseUrl": str(server.make_url("/durabletask/")),
        }
        yield TaskHub(df.DurableOrchestrationClient(json.dumps(binding)))
    await http_utils._close_session()  # which belongs to this test's loop


def ports(folder: Path) -> WatchingPorts:
    free = Permissions(
        reader_role=None, operator_role=None, clusters=("*",), accounts=("*",), registries=("*",)
    )
    return WatchingPorts(
        gate=Gate(permissions=free, callers=None, development_bypass=True),
        clusters=MemoryClusters(Stage(folder)),
        clock=lambda: datetime.now(UTC),
        finding=SharedQuestions(0.0),  # each question reaches the hub
    )


async def asked(door: Door, hub: TaskHub, opened: WatchingPorts) -> tuple[int, dict[str, Any], str | None]:
    """Status, body and Retry-After."""
    request = func.HttpRequest(method="GET", url="/", route_params={"id": RUN}, body=b"")
    answer = await respond(door(request, hub, opened))
    return answer.status_code, json.loads(answer.get_body()), answer.headers.get("Retry-After")


@pytest.mark.parametrize("mood", ["broken", "silent", "500", "400", "odd"])
def test_a_run_that_was_seen_is_told_as_it_was_and_marked(tmp_path: Path, mood: str) -> None:
    async def tell() -> None:
        hub, opened = Hub(), ports(tmp_path)
        async with served(hub) as client:
            before = await asked(read_warmup_status, client, opened)
            hub.mood = mood
            status, after, _ = await asked(read_warmup_status, client, opened)
            assert before[:2] == (200, before[1] | {"runtime_status": "Running", "instance_id": RUN})
            reason = after.pop("degraded_reason")
            assert (status, after) == (200, before[1] | {"degraded": True})
            assert reason.startswith("last known, since ")

    asyncio.run(tell())


@pytest.mark.parametrize("door", [read_warmup_status, read_task])
@pytest.mark.parametrize("mood", ["broken", "500", "400", "503"])
def test_a_run_that_was_never_seen_is_503_with_a_time_to_ask_again(
    tmp_path: Path, door: Door, mood: str
) -> None:
    async def tell() -> None:
        hub = Hub()
        hub.mood = mood
        async with served(hub) as client:
            status, body, again = await asked(door, client, ports(tmp_path))
        assert (status, set(body)) == (503, {"error"})
        assert int(again or 0) > 0

    asyncio.run(tell())


def test_a_hub_is_called_what_the_host_calls_it() -> None:
    async def tell() -> None:
        async with served(Hub()) as client:
            assert client.name == "hub"

    asyncio.run(tell())


def test_only_a_hub_that_says_so_knows_no_such_run(tmp_path: Path) -> None:
    async def tell() -> None:
        hub = Hub()
        hub.mood = "absent"
        async with served(hub) as client:
            status, body, _ = await asked(read_warmup_status, client, ports(tmp_path))
        assert (status, set(body)) == (404, {"error"})

    asyncio.run(tell())


@pytest.mark.parametrize("mood", ["broken", "odd"])
def test_runs_in_flight_are_told_as_last_known_and_marked(tmp_path: Path, mood: str) -> None:
    async def tell() -> None:
        hub, opened = Hub(), ports(tmp_path)
        async with served(hub) as client:
            _, before, _ = await asked(list_active_warmups, client, opened)
            hub.mood = mood
            status, after, _ = await asked(list_active_warmups, client, opened)
        assert (status, after["degraded"]) == (200, True)
        assert after["warmups"] == before["warmups"] != []

    asyncio.run(tell())
