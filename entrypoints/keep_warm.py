"""The door of a second timer: databases that an operator listed are warmed again without anybody asking.

What is decided is read off the cluster, the container and the task hub each time; only how long something has
been amiss is remembered here, and forgetting that costs patience. The run is one like any other.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import azure.durable_functions as df
import azure.functions as func

from entrypoints.claiming import Bid
from entrypoints.generations import staged_generation
from entrypoints.run_states import RunState
from entrypoints.silence import is_silent
from entrypoints.starting import start_run
from entrypoints.task_hub import TaskHub
from entrypoints.threads import in_thread, invoked
from shared.domain import naming
from shared.domain.claims import Claimed
from shared.domain.keeping import GRACE, KEEPER, KeptWarm, PastRun, is_rested, lacking
from shared.domain.model import Cluster, Database, Mode, WarmupRequest
from shared.domain.refusals import Refusal
from shared.domain.requests import RequestDefaults
from shared.domain.runs import AccountQuery
from shared.domain.warmth import warmth_of
from shared.ports import Accounts, Catalog, Claims, FinalError, Monitor, PassingError

EVERY_TWO_MINUTES = "30 */2 * * * *"  # on the half minute: the janitor has the full one
UNWATCHED = GRACE + timedelta(minutes=2)  # longer than that, and another instance made the rounds
_FAULTS = (PassingError, FinalError)
_logger = logging.getLogger("warmup.keeper")


class Patience:
    """Since when what has been amiss; known to this process only, and only while it keeps watching."""

    def __init__(self) -> None:
        """Know of nothing."""
        self._since: dict[tuple[Cluster, Database], datetime] = {}
        self._watched: dict[Cluster, datetime] = {}

    def lasted(self, cluster: Cluster, lacks: Mapping[Database, str], now: datetime) -> tuple[Database, ...]:
        """Note what is amiss now, and give what has been so for the grace.

        The timer may have gone round on another instance of the app meanwhile: then the grace begins anew.
        """
        if now - self._watched.get(cluster, now) > UNWATCHED:
            self.forget(cluster)
        ours = {database: self._since.get((cluster, database), now) for database in lacks}
        self.forget(cluster)
        self._watched[cluster] = now
        self._since |= {(cluster, database): since for database, since in ours.items()}
        return tuple(database for database, since in ours.items() if now - since >= GRACE)

    def forget(self, cluster: Cluster) -> None:
        """What was amiss was not watched since: its grace begins anew."""
        self._since = {key: since for key, since in self._since.items() if key[0] != cluster}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepWarmPorts:
    """What keeping warm needs."""

    kept: tuple[KeptWarm, ...]
    monitor: Monitor
    accounts: Accounts
    catalog: Catalog
    claims: Claims
    defaults: RequestDefaults
    clock: Callable[[], datetime]
    patience: Patience = field(default_factory=Patience)


def keep_warm_doors(ports: KeepWarmPorts) -> df.Blueprint:
    """Register the timer, where anything is to be kept warm."""
    doors = df.Blueprint()

    async def keep_warm(
        timer: func.TimerRequest, client: df.DurableOrchestrationClient, context: func.Context
    ) -> None:
        """Start runs for listed databases that have been lacking something for a while."""
        del timer
        with invoked(context):
            for kept in ports.kept:
                await tend(kept, TaskHub(client), ports)

    if ports.kept:
        on_time = doors.timer_trigger(schedule=EVERY_TWO_MINUTES, arg_name="timer", run_on_startup=False)
        on_time(doors.durable_client_input(client_name="client")(keep_warm))
    return doors


async def tend(kept: KeptWarm, hub: TaskHub, ports: KeepWarmPorts) -> None:
    """See to one cluster; what cannot be read now is no reason to start anything."""
    try:
        past = await hub.with_prefix(naming.keeper_prefix(kept.cluster))
        if is_rested([_past(state, ports.clock()) for state in past], ports.clock()):
            await _start_if_lacking(kept, hub, ports)
        else:
            ports.patience.forget(kept.cluster)
    except _FAULTS as fault:
        ports.patience.forget(kept.cluster)
        _logger.info("keep-warm waits: cluster=%s %s", kept.cluster.name, fault)


async def _start_if_lacking(kept: KeptWarm, hub: TaskHub, ports: KeepWarmPorts) -> None:
    lacks = await in_thread(lambda: _lacks(kept, ports))
    now = ports.clock()
    due = ports.patience.lasted(kept.cluster, lacks, now)
    if not due:
        return
    run_id = naming.keeper_run_id(kept.cluster, now)
    bid = Bid(run_id=run_id, request=_request(kept, due, ports.defaults), now=now)
    if isinstance(await start_run(bid, ports.claims, hub), Claimed):
        why = "; ".join(f"{database.name}: {lacks[database]}" for database in due)
        _logger.info("keep-warm started: cluster=%s run_id=%s %s", kept.cluster.name, run_id, why)


def _lacks(kept: KeptWarm, ports: KeepWarmPorts) -> dict[Database, str]:
    sight = ports.monitor.sight(kept.cluster)
    if isinstance(sight, Refusal):
        raise FinalError(sight)
    for part in ("daemon sets", "pods"):
        if sight.lacks(part):
            raise PassingError(f"its {part} do not show")
    return lacking(kept, warmth_of(sight, ports.clock()), _staged(kept, ports))


def _staged(kept: KeptWarm, ports: KeepWarmPorts) -> dict[Database, str]:
    """The generations in the container, where it can be read: an account may be closed between runs."""
    query = AccountQuery(
        subscription_id=kept.cluster.subscription_id, name=kept.account_name, resource_group=None, run_id=""
    )
    try:
        found = {
            each: staged_generation(query, each, ports.accounts, ports.catalog) for each in kept.databases
        }
    except _FAULTS as fault:
        _logger.debug("staged generations are not known: account=%s %s", kept.account_name, fault)
        return {}
    return {each: generation for each, generation in found.items() if generation}


def _request(kept: KeptWarm, databases: tuple[Database, ...], defaults: RequestDefaults) -> WarmupRequest:
    assert defaults.image is not None  # the settings insist on it where anything is kept warm
    return WarmupRequest(
        cluster=kept.cluster,
        account_name=kept.account_name,
        account_resource_group=None,
        databases=databases,
        image=defaults.image,
        registry=None,
        mode=Mode.WARM,
        dry_run=False,
        allow_partial=False,
        max_mbps_per_node=None,
        deadline_minutes=defaults.deadline_minutes,
        requested_by=KEEPER,
    )


def _past(state: RunState, now: datetime) -> PastRun:
    goes_on = state.live and not is_silent(state, now)  # a lost one must not keep the cluster cold for ever
    return PastRun(
        began_at=state.created_at,
        ended_at=None if goes_on else state.updated_at,
        succeeded=state.succeeded,
    )
