"""Putting a cluster together and serving it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn

from local.cluster import snapshots, writing
from local.cluster.access import load_tokens
from local.cluster.api import Api, make_app
from local.cluster.control import Control, control_routes
from local.cluster.controllers import run_controllers
from local.cluster.kubeconfigs import write_kubeconfig
from local.cluster.nodes.backoff import Backoff
from local.cluster.nodes.containers import NodeSettings
from local.cluster.nodes.kubelet import Kubelets
from local.cluster.nodes.logs import LogFolder
from local.cluster.nodes.sandbox import find_toolbox
from local.cluster.nodes.simulated import Simulation
from local.cluster.nodestates import new_node
from local.cluster.resources import NAMESPACES, NODES
from local.cluster.store import Store
from local.cluster.writing import Place
from local.ports import LOOPBACK, bind

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping, Sequence
    from pathlib import Path

    from starlette.applications import Starlette

    from local.cluster.nodes.images import ImageCatalogue, ImageFile


SHUTDOWN_SECONDS = 1
"""How long open requests may go on after SIGTERM."""

FIRST_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """How a cluster is to be."""

    root: Path
    port: int
    certificate: Path
    key: Path
    authority: Path
    nodes: int
    simulated_nodes: int
    kubeconfig: Path
    images: ImageCatalogue | ImageFile
    injected: Mapping[str, str]
    backoff_seconds: float
    control: bool


async def serve(options: ClusterOptions) -> None:
    """Run the cluster until SIGTERM or SIGINT."""
    store = Store()
    state = options.root / "cluster" / "state.json"
    if not snapshots.load(store, state):
        _populate(store, options)
    logs = LogFolder(folder=options.root / "cluster" / "logs")
    simulation = Simulation()
    kubelets = Kubelets(store, _node_settings(options, logs), simulation)
    tokens = load_tokens(options.root / "cluster" / "tokens.json")
    stopping = asyncio.Event()
    api = Api(store=store, tokens=tokens, logs=logs, stopping=stopping)
    listener = _listen(options.port)
    url = f"https://{LOOPBACK}:{listener.getsockname()[1]}"
    write_kubeconfig(options.kubeconfig, url=url, token=tokens.admin, authority=options.authority)
    reader = options.root / "cluster" / "reader.kubeconfig"
    write_kubeconfig(reader, url=url, token=tokens.reader, authority=options.authority)
    control = Control(
        store=store,
        kubelets=kubelets,
        faults=api.faults,
        simulation=simulation,
        token=tokens.control,
        nodes_folder=options.root / "nodes",
    )
    app = make_app(api, control_routes(control) if options.control else [])
    work = [run_controllers(store), kubelets.run(), snapshots.keep_saving(store, state)]
    await _serve_beside(_Server(_http_config(options, app), url), listener, stopping, work)
    snapshots.save(store, state)


class _Server(uvicorn.Server):
    """Says when it serves; leaves signals to us: uvicorn's own handler would end the process too early."""

    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        print(f"ready {self._url}", flush=True)


async def _serve_beside(
    server: _Server,
    listener: socket.socket,
    stopping: asyncio.Event,
    work: Sequence[Coroutine[Any, Any, None]],
) -> None:
    """Serve until a signal, or until one of the workers fails: then the process ends with its error."""

    def stop() -> None:
        stopping.set()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    tasks = [asyncio.create_task(each) for each in work]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.wait([serving, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stop()
    await serving
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()


def _populate(store: Store, options: ClusterOptions) -> None:
    for name in FIRST_NAMESPACES:
        writing.create(store, Place(kind=NAMESPACES), {"metadata": {"name": name}})
    for number in range(options.nodes + options.simulated_nodes):
        simulated = number >= options.nodes
        name = f"simulated-{number - options.nodes:04d}" if simulated else f"node-{number}"
        store.create(NODES, new_node(name, simulated=simulated))
        if not simulated:
            (options.root / "nodes" / name).mkdir(parents=True, exist_ok=True)


def _node_settings(options: ClusterOptions, logs: LogFolder) -> NodeSettings:
    return NodeSettings(
        root=options.root,
        logs=logs,
        toolbox=find_toolbox(),
        images=options.images,
        injected=options.injected,
        backoff=Backoff(first_seconds=options.backoff_seconds),
    )


def _listen(port: int) -> socket.socket:
    try:
        return bind(port)
    except OSError as error:
        raise SystemExit(
            f"no cluster: port {port} of {LOOPBACK} cannot be had ({error}); name another with --port"
        ) from error


def _http_config(options: ClusterOptions, app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ssl_certfile=str(options.certificate),
        ssl_keyfile=str(options.key),
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
