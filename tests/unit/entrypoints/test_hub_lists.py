"""Lists of the task hub, read to their end from a server that pages."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from entrypoints.hub_lists import MAX_PAGES, HubListError, whole_list

Handler = Callable[[web.Request], Awaitable[web.Response]]
TOKEN = "x-ms-continuation-token"


def listed(handler: Handler) -> tuple[Any, ...]:
    """What is listed of a hub that answers so."""

    async def ask() -> tuple[Any, ...]:
        app = web.Application()
        app.router.add_get("/durabletask/instances", handler)
        async with TestServer(app) as server:
            return await whole_list(str(server.make_url("/durabletask/")), {"runtimeStatus": "Running"})

    return asyncio.run(ask())


def test_every_page_is_read_a_short_or_an_empty_one_too() -> None:
    pages = {"": (["a", "b"], "two"), "two": ([], "three"), "three": (["c"], "")}

    async def page(request: web.Request) -> web.Response:
        assert request.query["runtimeStatus"] == "Running"
        names, more = pages[request.headers[TOKEN]]
        return web.json_response([{"instanceId": name} for name in names], headers={TOKEN: more})

    assert [row["instanceId"] for row in listed(page)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (web.Response(status=500), "answered with 500"),
        (web.Response(text="no json"), "broke off"),
        (web.json_response({"not": "a list"}), "something else"),
    ],
)
def test_what_is_no_list_is_said(answer: web.Response, told: str) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    with pytest.raises(HubListError, match=told):
        listed(page)


def test_a_list_without_an_end_is_given_up() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.json_response([], headers={TOKEN: "again"})

    with pytest.raises(HubListError, match=str(MAX_PAGES)):
        listed(page)
