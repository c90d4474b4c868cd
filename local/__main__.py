"""`python -m local COMMAND`: the laptop stack, by hand. `make` has a target for each command."""

import argparse
import json
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType

from local import databases, demo, stack, wiring
from local.azurite import AzuriteError
from local.bars import StepBars, console, timed
from local.clusters import Embedded
from local.dashboard import DashboardError
from local.databases import DatabaseError
from local.demo import DemoError
from local.evidence import EvidenceError
from local.hosts import EmbeddedHost, HostError
from local.kubeconfigs import ClusterError
from local.places import places
from local.stack import Stack, StackError
from local.staging import stage

_TROUBLE = (
    *(StackError, ClusterError, HostError, AzuriteError),
    *(DatabaseError, DashboardError, DemoError, EvidenceError),
)


def main() -> int:
    """Do what was asked; 1 with a sentence when it cannot be done."""
    arguments = _parser().parse_args()
    # A terminated demo must still end what it started.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(arguments.act(arguments))
    except _TROUBLE as trouble:
        told = "; ".join([str(trouble), *getattr(trouble, "__notes__", ())])
        console.print(f"{type(trouble).__name__.removesuffix('Error')}: {told}", style="bold red")
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130
    except BrokenPipeError:  # whoever read along has read enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the interpreter's own last flush
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    proof = commands.add_parser("demo", help="warm a real database onto three nodes, and prove it")
    proof.add_argument("--svg", type=Path, help="also draw what was printed into this file")
    proof.set_defaults(act=_demo)
    start = commands.add_parser("up", help="start the stack and leave it running")
    start.add_argument("--control", action="store_true", help="let host, cluster and Azure be made to fail")
    start.set_defaults(act=_up)
    commands.add_parser("down", help="end the stack").set_defaults(act=_down)
    commands.add_parser("status", help="where everything is").set_defaults(act=_status)
    staging = commands.add_parser(
        "stage", help="put a BLAST database of yours into the stack's storage account"
    )
    staging.add_argument("folder", type=Path, help="the folder that holds its files")
    staging.add_argument("name", help="its name, as `blastn -db` takes it")
    staging.set_defaults(act=_stage)
    return parser


def _demo(arguments: argparse.Namespace) -> int:
    console.record = arguments.svg is not None
    proven = demo.demo(places())
    if arguments.svg is not None:
        drawn = console.export_svg(title="make demo")
        # Without the web fonts that it would load from elsewhere.
        arguments.svg.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))
    return 0 if proven else 1


def _up(arguments: argparse.Namespace) -> int:
    stack.planned(places())  # what cannot start is said before anything slow
    folders = databases.prepare(places().data, StepBars())
    with timed("starting Azurite, ARM, Kubernetes with its nodes, and the Functions host"):
        up = stack.up(places(), control=arguments.control)
    for folder in folders:
        stage(up.wiring.staging_server, folder, folder.name, StepBars())
    _describe(up)
    return 0


def _down(_: argparse.Namespace) -> int:
    console.print("The stack has ended." if stack.down(places()) else "No stack was running.")
    return 0


def _status(_: argparse.Namespace) -> int:
    _describe(stack.running(places()))
    return 0


def _stage(arguments: argparse.Namespace) -> int:
    server = stack.running(places()).wiring.staging_server
    staged = stage(server, arguments.folder.resolve(), arguments.name, StepBars())
    console.print(f"Staged {staged.name}: {len(staged.files)} files, {staged.size_bytes:,} bytes.")
    return 0


def _describe(up: Stack) -> None:
    plan, where = up.wiring, up.wiring.places
    body = (
        f'{{"subscription_id": "{wiring.SUBSCRIPTION}", "resource_group": "{wiring.RESOURCE_GROUP}", '
        f'"storage_account": "{wiring.DATA_ACCOUNT}", "db": "blast-db/{demo.DATABASE}", '
        f'"db_display_name": "{demo.DATABASE}", "aks_cluster_name": "{wiring.CLUSTER}"}}'
    )
    group = f"subscription_id={wiring.SUBSCRIPTION}&resource_group={wiring.RESOURCE_GROUP}"
    query = f"{group}&cluster_name={wiring.CLUSTER}"
    lines = [
        f"the app            {plan.app_url}/api",
        f"blobs              {plan.blob_url}blast-db",
        f"Kubernetes         kubectl --kubeconfig {where.kubeconfig} get nodes",
        f"certificates       {where.tls / 'ca.pem'}",
        *(f"{node:<19}{where.blast_folder(node)}" for node in plan.node_names if plan.sees_nodes),
        *(f"log                {file}" for file in stack.log_files(where) if file != where.blob_requests),
        f"blob request log   {where.blob_requests}",
        *_controls(up),
        "",
        "Try it:",
        f"  curl -s {plan.app_url}/api/warmup/start -H 'Content-Type: application/json' -d '{body}'",
        f"  curl -s {plan.app_url}/api/warmup/INSTANCE_ID/status",
        f"  curl -s '{plan.app_url}/api/monitor/aks/warmup-status?{query}'",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _controls(up: Stack) -> list[str]:
    """Where the stack can be made to fail, if it was started so."""
    plan, where = up.wiring, up.wiring.places
    azure = json.loads((where.root / "azure-ready.json").read_text())["control"]
    if azure is None:
        return []
    tokens = where.cluster / "cluster" / "tokens.json"
    cluster = f"https://127.0.0.1:{plan.ports.cluster}/control/ (its token: {tokens})"
    return [
        *([f"faults of the host {plan.app_url}/admin/faults"] if isinstance(plan.host, EmbeddedHost) else []),
        *([f"the cluster's      {cluster}"] if isinstance(plan.cluster, Embedded) else []),
        f"Azure's            {azure}/",
    ]


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
