"""Lists of the task hub, whole: the SDK reads one page of an answer and drops the token of the next.

Asked where the SDK itself asks, at the host's own address on the loopback, which needs no key.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import cast

import aiohttp

MAX_PAGES = 100  # ten thousand runs; beyond them the hub wants purging, not listing
_PAGE = 100  # runs; the platform's own default, said so that a smaller one is nobody's surprise
_CONTINUATION = "x-ms-continuation-token"

Json = Mapping[str, object]


class HubListError(Exception):
    """The task hub did not list what was asked for; says how it answered."""


async def whole_list(base: str, query: Mapping[str, str]) -> tuple[Json, ...]:
    """Every instance that a query admits, page by page until there is no next.

    Raises:
        HubListError: when a page is refused, unreadable, or there is no end of pages.
    """
    found: list[Json] = []
    async for page in _pages(base, query):
        found.extend(page)
    return tuple(found)


async def beginning_of_list(base: str, query: Mapping[str, str], most: int) -> tuple[Json, ...]:
    """The first instances that a query admits; the hub is asked for no page more than that takes.

    Raises:
        HubListError: as `whole_list`.
    """
    found: list[Json] = []
    async with aclosing(_pages(base, query)) as pages:
        async for page in pages:
            found.extend(page)  # a page may be empty and yet not the last
            if len(found) >= most:
                break
    return tuple(found[:most])


async def _pages(base: str, query: Mapping[str, str]) -> AsyncGenerator[list[Json], None]:
    token = ""
    async with aiohttp.ClientSession() as session:
        for _ in range(MAX_PAGES):
            page, token = await _page(session, base, query, token)
            yield page
            if not token:
                return
    raise HubListError(f"the list has more than {MAX_PAGES} pages; lower WARMUP_RETENTION_DAYS")


async def _page(
    session: aiohttp.ClientSession, base: str, query: Mapping[str, str], token: str
) -> tuple[list[Json], str]:
    asked = session.get(
        f"{base}instances", params={**query, "top": str(_PAGE)}, headers={_CONTINUATION: token}
    )
    try:
        async with asked as answer:
            if answer.status != 200:  # noqa: PLR2004 - HTTP
                raise HubListError(f"the list was answered with {answer.status}")
            page = await answer.json()
            more = answer.headers.get(_CONTINUATION, "")
    except (TimeoutError, aiohttp.ClientError, ValueError) as fault:
        raise HubListError(f"the list broke off: {fault}") from fault
    if not isinstance(page, list):
        raise HubListError("the list was answered with something else")
    return cast("list[Json]", page), more
