"""The stack as one thing: up, down, and what is known of it in between."""

import ipaddress
import json
import os
import shutil
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from local import azurite, clusters, hosts, joining, processes, wiring
from local.clusters import Cluster, Given
from local.places import Places
from local.ports import LOOPBACK, PortError, chosen_ports, is_free
from local.processes import Started
from local.wiring import Ports, Wiring

_POLL_SECONDS = 0.1
_LOG_TAIL_LINES = 12


class StackError(Exception):
    """The stack cannot be started or used; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack that runs, or did."""

    wiring: Wiring
    started: tuple[Started, ...]

    @property
    def is_up(self) -> bool:
        """Whether all of it runs."""
        return all(each.is_alive for each in self.started)

    @property
    def is_down(self) -> bool:
        """Whether none of it runs."""
        return not any(each.is_alive for each in self.started)


def up(places: Places, *, fresh: bool = False, control: bool = False) -> Stack:
    """Start everything and wait until it serves; `fresh` forgets nodes, blobs and runs of before.

    `control` lets a test make nodes and Azure fail.

    Raises:
        StackError: it runs already, a port is taken, or a server did not come up.
        ClusterError, HostError: the cluster or the host that is asked for cannot be used.
    """
    with _plan(places, control=control) as plan:
        if fresh:
            forget(places)
        wiring.write_files(plan)
        return _served(plan)


def _served(plan: Wiring) -> Stack:
    places, stack = plan.places, _start(plan)
    try:
        _wait(stack)
        if isinstance(plan.cluster, Given):
            joining.join(places.kubeconfig, url=plan.injection_url, authority=places.tls / "ca.pem")
    except BaseException as trouble:
        try:
            down(places)
        except StackError as left:
            trouble.add_note(str(left))
        raise
    return stack


def planned(places: Places) -> Wiring:
    """What a start would start; judged before anything slow, and refused where it cannot be."""
    with _plan(places) as plan:
        return plan


@contextmanager
def _plan(places: Places, *, control: bool = False) -> Iterator[Wiring]:
    before = recorded(places)
    if before is not None and before.is_up:
        raise StackError(f"the stack in {places.root} is up already; end it with `make down`")
    if before is not None:
        processes.end(before.started)  # what a killed start left behind, ports and all
    cluster = clusters.chosen(os.environ)
    with _ports(before) as ports:
        yield Wiring(
            places=places,
            host=hosts.chosen(os.environ.get("STACK_HOST", "")),
            cluster=cluster,
            address=_address(cluster),
            ports=ports,
            control=control,
        )


def down(places: Places) -> bool:
    """End everything that this folder's record names; False when nothing ran."""
    stack = recorded(places)
    if stack is None:
        return False
    was_running = not stack.is_down
    left = not (was_running and isinstance(stack.wiring.cluster, Given)) or joining.leave(places.kubeconfig)
    processes.end(stack.started)
    if not left:
        raise StackError(
            "the stack has ended, but its cluster could not be asked to forget it: "
            f"kubectl delete mutatingwebhookconfiguration {joining.name_of_webhook(places.kubeconfig)}"
        )
    return was_running


def running(places: Places) -> Stack:
    """The stack that is up, or StackError."""
    stack = recorded(places)
    if stack is None or not stack.is_up:
        raise StackError(f"no stack is up in {places.root}; start it with `make up`")
    return stack


def recorded(places: Places) -> Stack | None:
    """What the last start wrote down; None when there was none, or it is unreadable."""
    try:
        document = json.loads(places.record.read_text())
        ports = Ports(**document["ports"])
        started = tuple(Started(**each) for each in document["started"])
        plan = Wiring(
            places=places,
            ports=ports,
            host=hosts.from_record(document["host"]),
            cluster=clusters.from_record(document["cluster"]),
            address=document["address"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Stack(wiring=plan, started=started)


def record(stack: Stack) -> None:
    """Write down what runs, for whoever ends it."""
    plan = stack.wiring
    document = {
        "ports": asdict(plan.ports),
        "host": plan.host.as_record(),
        "cluster": plan.cluster.as_record(),
        "address": plan.address,
        "started": [asdict(each) for each in stack.started],
    }
    draft = plan.places.record.with_suffix(".new")
    draft.write_text(json.dumps(document, indent=1))
    draft.replace(plan.places.record)


def forget(places: Places) -> None:
    """Remove what runs and nodes left; databases made before are kept."""
    for folder in (places.blobs, places.cluster, places.logs, places.func_app):
        shutil.rmtree(folder, ignore_errors=True)
    for file in ("azure-state.json", "azure-ready.json", "hub.sqlite", "hub.sqlite-wal", "hub.sqlite-shm"):
        with suppress(FileNotFoundError):
            (places.root / file).unlink()


def _start(plan: Wiring) -> Stack:
    places = plan.places
    started: list[Started] = []
    for program in wiring.programs(plan):
        log = places.logs / f"{program.name}.log"
        started.append(processes.start(program, log=log))
        # At once: a start that is killed here leaves nothing unknown.
        record(Stack(wiring=plan, started=tuple(started)))
    return Stack(wiring=plan, started=tuple(started))


def _wait(stack: Stack) -> None:
    plan = stack.wiring
    checks: dict[str, Callable[[], bool]] = {
        "azurite": lambda: azurite.is_ready(plan.azurite),
        "cluster": plan.places.kubeconfig.exists,
        "azure": (plan.places.root / "azure-ready.json").exists,
        "host": lambda: _answers(f"{plan.app_url}/api/health"),
    }
    seconds = plan.host.start_seconds
    deadline = time.monotonic() + seconds
    while checks:
        checks = {name: check for name, check in checks.items() if not check()}
        dead = next((each for each in stack.started if not each.is_alive), None)
        if dead is not None:
            raise StackError(
                f"{dead.name} ended at its start; its log says:\n{_tail(plan.places, dead.name)}"
            )
        if time.monotonic() > deadline:
            raise StackError(
                f"{', '.join(checks)} did not start within {seconds:.0f} s; see {plan.places.logs}"
            )
        time.sleep(_POLL_SECONDS if checks else 0)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's own word for it
    except OSError:
        return False


def _tail(places: Places, name: str) -> str:
    lines = (places.logs / f"{name}.log").read_text(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:])


def _address(cluster: Cluster) -> str:
    """`STACK_ADDRESS`, if this machine has it and the cluster's nodes can be thought to reach it."""
    text = os.environ.get("STACK_ADDRESS") or LOOPBACK
    try:
        address = ipaddress.IPv4Address(text)
        with socket.socket() as probe:
            probe.bind((text, 0))
    except (ValueError, OSError) as unfit:
        raise StackError(
            f"STACK_ADDRESS is {text!r} ({unfit}); give an IPv4 address of this machine"
        ) from unfit
    if address.is_unspecified:
        raise StackError("STACK_ADDRESS is 0.0.0.0, which nobody can be told to call; name one address")
    if address.is_loopback and not _is_here(cluster.facts.server):
        raise StackError(
            f"the cluster at {cluster.facts.server} is not on this machine, so that its nodes cannot reach "
            f"{text}; set STACK_ADDRESS to an address of this machine that they reach"
        )
    return text


def _is_here(server: str) -> bool:
    try:
        return ipaddress.ip_address(socket.gethostbyname(server)).is_loopback
    except OSError:
        return False


@contextmanager
def _ports(before: Stack | None) -> Iterator[Ports]:
    """The ports of last time where they are free, so that URLs stay."""
    last = asdict(before.wiring.ports) if before else {}
    try:
        with chosen_ports((field.name for field in fields(Ports)), last, os.environ) as ports:
            yield Ports(**ports)
    except PortError as error:
        raise StackError(str(error)) from error


def all_free(ports: Ports) -> bool:
    """Whether nobody listens on any of them."""
    return all(is_free(port) for port in asdict(ports).values())


def log_files(places: Places) -> tuple[Path, ...]:
    """Every log there is."""
    return tuple(sorted(places.logs.glob("*.*")))
