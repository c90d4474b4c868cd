"""How a run begins, whoever wants it: its databases are claimed, then it is started and told to the logs."""

import logging

from entrypoints.claiming import Bid, claim_databases
from entrypoints.task_hub import TaskHub
from shared.domain.claims import Claimed, Conflict, HeldBy
from shared.domain.events import Change, Event, line_of
from shared.domain.phases import Phase
from shared.domain.runs import Run
from shared.domain.status import database_names
from shared.ports import Claims

_logger = logging.getLogger("warmup.doors")


async def start_run(bid: Bid, claims: Claims, hub: TaskHub) -> Claimed | HeldBy | Conflict:
    """Start a run unless another holds its databases; a dry run holds nothing.

    Raises:
        PassingError: when claims or task hub do not answer.
    """
    claimed = Claimed(run_id=bid.run_id)
    verdict = claimed if bid.request.dry_run else await claim_databases(bid, claims, hub)
    if isinstance(verdict, Claimed):
        await hub.start(bid.run_id, Run(request=bid.request))
        _logger.info(line_of(_started(bid)))
    return verdict


def _started(bid: Bid) -> Event:
    return Event(
        event=Change.STARTED,
        instance_id=bid.run_id,
        cluster=bid.request.cluster.name,
        database=database_names(bid.request),
        account=bid.request.account_name,
        phase=Phase.ENABLING_STORAGE.value,
        mode=bid.request.mode.value,
        seconds=0,
        by=bid.request.requested_by,
    )
