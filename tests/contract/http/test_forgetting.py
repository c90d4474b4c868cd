"""Old runs are forgotten a bounded number at a time, however many there are and whatever refuses to go."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import azure.durable_functions as df
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from azure.durable_functions.models.utils import http_utils
from testkit.world import World

from entrypoints.janitor import MOST_PURGED, Rounds, make_round
from entrypoints.task_hub import TaskHub

_PAGE = 30  # rows; smaller than asked for, as the platform's pages are


class Hub:
    """A task hub that lists page by page, forgets one run at a time, and notes what it was asked."""

    def __init__(self, runs: int) -> None:
        self.runs = [f"run{n:05}" for n in range(runs)]
        self.stubborn: set[str] = set()
        self.asked: list[dict[str, str]] = []

    async def list(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        start = int(request.headers.get("x-ms-continuation-token") or 0)
        rows = [{"instanceId": run_id} for run_id in self.runs[start : start + _PAGE]]
        more = str(start + _PAGE) if start + _PAGE < len(self.runs) else ""
        return web.json_response(rows, headers={"x-ms-continuation-token": more})

    async def delete(self, request: web.Request) -> web.Response:
        run_id = request.match_info["id"]
        if run_id in self.stubborn:
            return web.Response(status=500)
        self.runs.remove(run_id)
        return web.json_response({"instancesDeleted": 1})


@asynccontextmanager
async def served(hub: Hub) -> AsyncIterator[TaskHub]:
    """The hub behind the SDK's own client."""
    app = web.Application()
    app.router.add_get("/durabletask/instances", hub.list)
    app.router.add_delete("/durabletask/instances/{id}", hub.delete)
    async with TestServer(app) as server:
        base = str(server.make_url("/durabletask/"))
        binding = {"taskHubName": "hub", "creationUrls": {}, "managementUrls": {}, "rpcBaseUrl": base}
        yield TaskHub(df.DurableOrchestrationClient(json.dumps(binding)))
        await http_utils._close_session()  # the SDK keeps one for all loops there will ever be


def left_after(hub: Hub, folder: Path, rounds: int) -> list[int]:
    """How many runs are left after each round of one janitor."""

    async def go_round() -> list[int]:
        janitor, left = replace(World(folder).janitor, rounds=Rounds()), []
        async with served(hub) as client:
            for _ in range(rounds):
                await make_round(client, janitor)
                left.append(len(hub.runs))
        return left

    return asyncio.run(go_round())


def test_each_round_forgets_a_bounded_number_and_the_next_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hub = Hub(2 * MOST_PURGED + 5)

    assert left_after(hub, tmp_path, rounds=3) == [MOST_PURGED + 5, 5, 0]
    told = [record.message.split(" older")[0] for record in caplog.records if "purged" in record.message]
    said = [f"purged finished runs: count={words}" for words in ("100 more=yes", "100 more=yes", "5 more=no")]
    assert told == said


def test_only_what_is_over_and_old_is_asked_for_and_then_not_again_for_hours(tmp_path: Path) -> None:
    hub = Hub(0)
    left_after(hub, tmp_path, rounds=3)

    (asked,) = hub.asked
    assert set(asked["runtimeStatus"].split(",")) == {"Completed", "Failed", "Terminated"}
    assert asked["createdTimeTo"] == "2026-04-01T12:00:00Z"  # a month before the world's noon


def test_a_run_that_cannot_be_forgotten_keeps_no_other(tmp_path: Path) -> None:
    hub = Hub(4)
    hub.stubborn = {"run00000"}

    assert left_after(hub, tmp_path, rounds=2) == [1, 1]
    hub.stubborn = set()
    assert left_after(hub, tmp_path, rounds=1) == [0]
