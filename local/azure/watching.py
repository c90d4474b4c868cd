"""Around a listener's application: faults, a log line, connections that can be broken."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from local.azure.faults import Area, Faults, Kind, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from local.azure.journal import Journal


class Connections:
    """The open connections of uvicorn's listeners, by the client's address: ASGI itself cannot break one."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}

    def protocol(self) -> type[asyncio.Protocol]:
        """The HTTP protocol class for uvicorn, with its connections written down here."""
        kept = self._open

        class Recorded(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if self.client:
                    kept[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client:
                    kept.pop(self.client, None)
                super().connection_lost(exc)

        return Recorded

    def abort(self, client: tuple[str, int]) -> None:
        """Break the connection without an answer, unless the client has had enough of it already."""
        transport = self._open.get(client)
        if transport is not None:
            transport.abort()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """An ASGI application of one area, watched; `refuse` words an injected status in that area's way."""

    area: Area
    app: ASGIApp
    refuse: Callable[[Rule], Response]
    faults: Faults
    connections: Connections
    journal: Journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self._serve(scope, receive, noting)
        seconds = round(time.monotonic() - began, 4)
        self.journal.write(
            area=self.area, method=scope["method"], path=scope["path"], status=status, seconds=seconds
        )

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        fault = self.faults.draw(self.area, scope["method"], f"{scope['path']}?{query}")
        if fault is None:
            await self.app(scope, receive, send)
            return
        await self.faults.pause(fault)
        match fault.kind:
            case Kind.LATENCY:
                await self.app(scope, receive, send)
            case Kind.STATUS:
                await self.refuse(fault)(scope, receive, send)
            case Kind.LOST_REPLY:
                await self.app(scope, receive, _unsent)
                await self._break(scope, receive)
            case _:
                await self._break(scope, receive)

    async def _break(self, scope: Scope, receive: Receive) -> None:
        self.connections.abort(tuple(scope["client"]))
        while (await receive())["type"] != "http.disconnect":
            pass


async def _unsent(_message: Any) -> None:
    """The answer that the client will never see."""
