"""The product's stories, hands and doors, introduced to each other as in production, over ports in memory."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import azure.durable_functions as df
from testkit.memory_ports import Stage, memory_world

from activities.hands import hands
from entrypoints.doors import doors
from orchestrators.warm_databases import warm_databases
from shared.adapters.entra_identity import EntraIdentity, Tenant
from shared.settings import Settings


def clock() -> datetime:
    """The time, as far on as the test has set it: what is young is old in a moment."""
    return datetime.now(UTC) + timedelta(seconds=stage.says("seconds_ahead", 0))


def _callers() -> EntraIdentity | None:
    tenant, client = settings.auth.tenant_id, settings.auth.client_id
    if tenant is None or client is None:
        return None
    host, bundle = settings.azure.authority_host, settings.azure.ca_bundle
    return EntraIdentity(Tenant(authority_host=host, tenant_id=tenant, client_id=client, ca_bundle=bundle))


settings = Settings.read(os.environ)
stage = Stage(Path(os.environ["STAGE_FOLDER"]))
world = memory_world(stage, _callers())

app = df.DFApp()
app.orchestration_trigger(context_name="context")(warm_databases)
app.register_functions(hands(world, clock))
for door in doors(world, settings, clock):
    app.register_functions(door)
