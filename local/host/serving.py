"""Put a host together and serve it until it is told to stop."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from local.host.config import HostConfig, load_host_config, load_local_settings
from local.host.engine.checkpoint import Checkpoint, Saver, open_checkpoint
from local.host.engine.clock import AlarmClock, exact, like_azure_storage
from local.host.engine.hub import Hub
from local.host.engine.worker import Worker
from local.host.faults import Faults
from local.host.http.addresses import Addresses
from local.host.http.functions import FunctionRoutes
from local.host.http.keys import make_keys
from local.host.http.management import Management
from local.host.http.site import Site
from local.host.indexing import load_app
from local.host.invoking import Invoker
from local.host.timing import Timing
from local.ports import LOOPBACK, bind

# What a request in flight may still take when the host is told to stop.
_GRACE_SECONDS = 2
_QUEUED_CONNECTIONS = 2048
# Kestrel's: longer than any client keeps an idle connection, so that the client closes it.
_KEEP_ALIVE_SECONDS = 130
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; port 0 is any free one, `state` None keeps nothing."""

    app_dir: Path
    port: int
    rpc_port: int
    state: Path | None
    ready_file: Path | None
    enable_auth: bool
    real_timers: bool
    control: bool


class PortTakenError(Exception):
    """A port that something else listens on; the message names the remedy."""


class Host:
    """An app, its hub and its listeners, put together but not yet at work."""

    def __init__(self, options: Options) -> None:
        """Take the ports, index the app, restore the hub; no function of the app's runs yet."""
        self._options = options
        if options.ready_file is not None:
            options.ready_file.unlink(missing_ok=True)
        self._public, self._rpc = _listen(options.port), _listen(options.rpc_port)
        load_local_settings(options.app_dir)
        _tell_app_where_it_is(self._public)
        config = load_host_config(options.app_dir)
        app = load_app(options.app_dir)
        self._checkpoint, self._hub = _restore(options, config)
        self._saver = Saver(self._hub, self._checkpoint)
        self._keys = make_keys(self._checkpoint.secret, is_enforced=options.enable_auth)
        self._addresses = Addresses(
            origin=_origin(self._public),
            rpc_origin=_origin(self._rpc),
            hub_name=config.hub_name,
            system_key=self._keys.system,
        )
        faults = Faults()
        binding = self._addresses.client_binding()
        invoker = Invoker(options.app_dir, config.function_timeout, binding, faults)
        self._timing = Timing(app, invoker)
        self._worker = Worker(app, invoker, self._hub, config)
        self._site = Site(
            app=app,
            functions=FunctionRoutes(app, config.route_prefix, invoker),
            management=Management(self._hub, self._addresses, self._saver.flush),
            timing=self._timing,
            keys=self._keys,
            custom_headers=config.custom_headers,
            faults=faults if options.control else None,
        )

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; what was accepted is on disk when this returns."""
        self._saver.start()
        self._worker.start()
        asyncio.run(self._serve())
        self._hub.stop()
        self._saver.flush()
        self._checkpoint.close()

    async def _serve(self) -> None:
        public = _Server(self._site.public())
        rpc = _Server(self._site.rpc())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, public.stop)
        # The SDK's listener goes last: a request in flight may still need it.
        answering_sdk = asyncio.create_task(rpc.serve(sockets=[self._rpc]))
        answering = asyncio.create_task(public.serve(sockets=[self._public]))
        await asyncio.gather(public.is_serving.wait(), rpc.is_serving.wait())
        self._timing.start()
        self._announce()
        await answering
        rpc.stop()
        await answering_sdk

    def _announce(self) -> None:
        if self._options.ready_file is not None:
            _write_whole(self._options.ready_file, json.dumps(self._facts()))
        print(f"ready {self._addresses.origin}", flush=True)

    def _facts(self) -> dict[str, object]:
        return {
            "url": self._addresses.origin,
            "pid": os.getpid(),
            "master_key": self._keys.master,
            "system_key": self._keys.system,
            "function_key": self._keys.function,
        }


class _Server(uvicorn.Server):
    """A server that is stopped by the host and says when it has started."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            backlog=_QUEUED_CONNECTIONS,
        )
        super().__init__(config)
        self.is_serving = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the host."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell who waits for it that requests are taken."""
        await super().startup(sockets)
        self.is_serving.set()

    def stop(self) -> None:
        """Accept no more, and end when what is in flight is answered."""
        # What is cut off after the grace is no error; uvicorn would log a trace for each.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self.should_exit = True


def _tell_app_where_it_is(public: socket.socket) -> None:
    """Set what Core Tools set, so that an app can tell that it is on a developer's machine."""
    os.environ.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
    os.environ.setdefault("WEBSITE_HOSTNAME", _origin(public).removeprefix("http://"))


def _listen(port: int) -> socket.socket:
    try:
        return bind(port)
    except OSError as error:
        raise PortTakenError(
            f"port {port} on {LOOPBACK} cannot be used ({error.strerror}): "
            "stop what listens there, or name another port (0 takes any free one)"
        ) from error


def _origin(listener: socket.socket) -> str:
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}"


def _restore(options: Options, config: HostConfig) -> tuple[Checkpoint, Hub]:
    hub = Hub(AlarmClock(like_azure_storage(config.max_polling_interval) if options.real_timers else exact))
    if options.state is None:
        return Checkpoint(":memory:"), hub
    opened = open_checkpoint(options.state)
    if opened.aside is not None:
        _logger.warning(
            "%s: %s could not be read; set aside as %s, the others go on: %d",
            *(options.state, ", ".join(opened.contents.lost) or "a part of it"),
            *(opened.aside, len(opened.contents.instances)),
        )
    hub.restore(opened.snapshots)
    return opened.checkpoint, hub


def _write_whole(path: Path, text: str) -> None:
    """Write a file that no reader sees half of."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)
