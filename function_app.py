"""Composition root: the environment goes in, one function app comes out."""

import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func

from activities.hands import hands
from entrypoints.doors import doors
from orchestrators.warm_databases import warm_databases
from shared.adapters.world import open_world
from shared.settings import Settings

settings = Settings.read(os.environ)
world = open_world(settings, root=Path(__file__).parent)
clock = partial(datetime.now, UTC)

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.orchestration_trigger(context_name="context")(warm_databases)
app.register_functions(hands(world, clock))
for door in doors(world, settings, clock):
    app.register_functions(door)
