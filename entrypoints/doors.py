"""All doors, each with the ports it opens onto."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import azure.durable_functions as df

from entrypoints.authorising import Gate
from entrypoints.janitor import JanitorPorts, janitor_doors
from entrypoints.keep_warm import KeepWarmPorts, keep_warm_doors
from entrypoints.monitor import MonitorPorts, monitor_doors
from entrypoints.openapi import openapi_doors
from entrypoints.warmup import WarmupPorts, warmup_doors
from entrypoints.watching import WatchingPorts, watching_doors
from shared.domain.callers import Permissions
from shared.ports import Callers, World
from shared.settings import AuthSettings, Settings


def doors(world: World, settings: Settings, clock: Callable[[], datetime]) -> Iterator[df.Blueprint]:
    """Every door, as blueprints to register."""
    gate = _gate(settings.auth, world.callers)
    yield warmup_doors(
        WarmupPorts(
            gate=gate,
            claims=world.claims,
            monitor=world.monitor,
            defaults=settings.pods.requests,
            clock=clock,
        )
    )
    yield watching_doors(WatchingPorts(gate=gate, clusters=world.clusters, clock=clock))
    yield monitor_doors(
        MonitorPorts(
            gate=gate, monitor=world.monitor, accounts=world.accounts, catalog=world.catalog, clock=clock
        )
    )
    yield openapi_doors()
    yield keep_warm_doors(
        KeepWarmPorts(
            kept=settings.kept_warm,
            monitor=world.monitor,
            accounts=world.accounts,
            catalog=world.catalog,
            claims=world.claims,
            defaults=settings.pods.requests,
            clock=clock,
        )
    )
    yield janitor_doors(
        JanitorPorts(
            ledgers=world.ledgers,
            accounts=world.accounts,
            claims=world.claims,
            clusters=world.clusters,
            retention=timedelta(days=settings.retention_days),
            clock=clock,
        )
    )


def _gate(auth: AuthSettings, callers: Callers | None) -> Gate:
    permissions = Permissions(
        reader_role=auth.reader_role,
        operator_role=auth.operator_role,
        clusters=auth.clusters,
        accounts=auth.accounts,
        registries=auth.registries,
    )
    return Gate(
        permissions=permissions,
        callers=callers,
        development_bypass=auth.development_bypass,
        behind_app_service=auth.behind_app_service,
    )
