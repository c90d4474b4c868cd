"""All listeners of this Azure in one process and one event loop, from start to a clean end."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import uvicorn

from local import ports
from local.azure import identity, injecting
from local.azure.admission import Doorkeeper
from local.azure.arm import routes
from local.azure.arm.envelope import Endpoints, Envelope
from local.azure.authority import Authority
from local.azure.control import Control
from local.azure.faults import Area, Faults
from local.azure.gate import Gate
from local.azure.http1 import PIECE_BYTES
from local.azure.journal import Journal
from local.azure.tokens import Tenant
from local.azure.upstream import Azurite
from local.azure.watching import Connections, Watched
from local.azure.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from local.azure.settings import Settings

BACKLOG = 512
"""Many nodes begin at the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An application and the socket it is served on."""

    app: ASGIApp
    bound: socket.socket
    over_tls: bool


class Azure:
    """The parts, put together around the sockets: addresses are known before anything is served."""

    def __init__(self, settings: Settings) -> None:
        at, address = settings.ports, settings.address
        self._settings = settings
        self._arm, self._authority = _bind(at.arm), _bind(at.authority)
        self._identity, self._blob = _bind(at.identity, address), _bind(at.blob, address)
        self._injection = None if at.injection is None else _bind(at.injection, address)
        self._control = None if at.control is None else _bind(at.control)
        self._endpoints = Endpoints(
            arm=f"https://{_address(self._arm)}",
            identity=f"http://{_address(self._identity)}",
            authority=f"https://{_address(self._authority)}",
            blob=f"https://{_address(self._blob)}",
            injection=f"https://{_address(self._injection)}{injecting.PATH}" if self._injection else None,
            control=f"http://{_address(self._control)}" if self._control else None,
        )
        self._world = World(settings)
        self._tenant = Tenant(settings.tenant_id, settings.files.signing_key)
        self._faults = Faults()
        self._connections = Connections()

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT; the ready file is there exactly while it serves."""
        servers = [self._server(each) for each in self._listeners()]
        gate = self._gate()
        blobs = await self._serve_blobs(gate)
        with _stop_signals() as stopping:
            for server, _ in servers:
                await server.listening.wait()
            self._announce()
            await stopping.wait()
        self._settings.files.ready.unlink(missing_ok=True)
        self._faults.end()
        blobs.close()
        await gate.close()
        for server, _ in servers:
            # An idle keep-alive connection would hold the end back.
            server.should_exit = server.force_exit = True
        await asyncio.gather(*(task for _, task in servers))

    def _listeners(self) -> Iterator[Listener]:
        envelope = Envelope(world=self._world, tenant=self._tenant, endpoints=self._endpoints)
        journal = Journal(self._settings.files.logs / "arm.jsonl")
        arm = self._watched(Area.ARM, routes.arm_app(envelope), journal)
        yield Listener(app=arm, bound=self._arm, over_tls=True)
        tokens = identity.IdentityEndpoint(self._world, self._tenant, self._endpoints.arm)
        watched_tokens = self._watched(Area.IDENTITY, tokens.app(), journal)
        yield Listener(app=watched_tokens, bound=self._identity, over_tls=False)
        mints = self._settings.mints_user_tokens
        authority = Authority(self._tenant, self._endpoints.authority, mints=mints)
        yield Listener(app=authority.app(), bound=self._authority, over_tls=True)
        if self._injection:
            injection = injecting.Injection(
                identity=self._endpoints.identity, header=self._settings.identity_header
            )
            yield Listener(app=injection.app(), bound=self._injection, over_tls=True)
        if self._control:
            control = Control(self._world, self._faults)
            yield Listener(app=control.app(), bound=self._control, over_tls=False)

    def _watched(self, area: Area, app: ASGIApp, journal: Journal) -> Watched:
        return Watched(
            area=area,
            app=app,
            refuse=routes.refuse_on_demand if area is Area.ARM else identity.refuse_on_demand,
            faults=self._faults,
            connections=self._connections,
            journal=journal,
        )

    def _server(self, listener: Listener) -> tuple[_Server, asyncio.Task[None]]:
        files = self._settings.files
        config = uvicorn.Config(
            listener.app,
            http=self._connections.protocol(),
            ssl_certfile=files.certificate if listener.over_tls else None,
            ssl_keyfile=files.key if listener.over_tls else None,
            lifespan="off",
            log_level="warning",
            access_log=False,
        )
        server = _Server(config)
        return server, asyncio.create_task(server.serve([listener.bound]))

    def _gate(self) -> Gate:
        return Gate(
            Doorkeeper(self._settings, self._tenant, self._world),
            Azurite(self._settings.azurite_port, self._settings.files.authority),
            self._faults,
            Journal(self._settings.files.logs / "blob.jsonl"),
        )

    async def _serve_blobs(self, gate: Gate) -> asyncio.Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._settings.files.certificate, self._settings.files.key)
        return await asyncio.start_server(
            gate.serve, sock=self._blob, ssl=context, limit=PIECE_BYTES, backlog=BACKLOG
        )

    def _announce(self) -> None:
        ready = self._settings.files.ready
        draft = ready.with_name(f"{ready.name}.new")
        draft.write_text(json.dumps(asdict(self._endpoints), indent=1))
        draft.replace(ready)


class _Server(uvicorn.Server):
    """Leaves the process's signals to the one who runs several."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    yield stopping
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


def _bind(port: int, address: str = ports.LOOPBACK) -> socket.socket:
    try:
        return ports.bind(port, address)
    except OSError as error:
        raise SystemExit(
            f"port {port} of {address} cannot be had ({error.strerror}); free it or configure another"
        ) from error


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()
    return f"{host}:{port}"
