"""The task hub, as the doors speak of it: runs are started, looked up, listed and purged.

The only file that knows the Durable client; its SDK raises bare exceptions, which become PassingError.
"""

import asyncio
import json
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import azure.durable_functions as df
from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus

from entrypoints.hub_lists import beginning_of_list, whole_list
from entrypoints.run_states import LIVE_STATUSES, RunState
from shared.domain.runs import Run
from shared.ports import PassingError
from shared.wire import WireError, decode, encode

T = TypeVar("T")

WARM_UP = "warm_databases"
BUDGET_SECONDS = 5.0  # the dashboard waits 30 s and polls every 5: an answer in time, or 503
TERMINAL = ("Completed", "Failed", "Terminated")
_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)  # before the first run ever


class TaskHub:
    """The app's own task hub, for as long as one request lasts."""

    def __init__(self, client: df.DurableOrchestrationClient) -> None:
        """Wrap the client that the host bound to this request."""
        self._client = client

    @property
    def name(self) -> str:
        """What the host calls it, whatever host.json or a setting of a slot says."""
        return str(self._client._orchestration_bindings.task_hub_name)  # noqa: SLF001 - see `_base`

    async def find(self, run_id: str, *, with_input: bool = False) -> RunState | None:
        """Look up a warm-up; None only when the hub says that there is none of that id.

        Never by the SDK's `get_status`: it drops the answer's HTTP status, without which a hub that fails
        looks like one that knows no such run, and a live run like a dead one.
        """
        asked = f"{self._base}instances/{quote(run_id, safe='')}?showInput={str(with_input).lower()}"
        status, body = await _answer(self._client._get_async_request(asked))  # noqa: SLF001 - see `_base`
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED) or not isinstance(body, Mapping):
            raise PassingError(f"the task hub answered {status} when it was asked for run {run_id}")
        found = _read(body)
        return _state(found) if found.name == WARM_UP else None

    async def start(self, run_id: str, run: Run) -> None:
        """Start a warm-up; one that lives under this id is left as it is."""
        try:
            await _answer(self._client.start_new(WARM_UP, run_id, encode(run)))
        except PassingError as failure:
            if "already exists" not in str(failure):
                raise

    async def end(self, run_id: str, why: str) -> None:
        """Terminate one; where it is over already, nothing happens."""
        await _answer(self._client.terminate(quote(run_id, safe=""), why))

    async def live(self) -> tuple[RunState, ...]:
        """Every warm-up that is under way, whoever started it."""
        return await self._list({"runtimeStatus": ",".join(LIVE_STATUSES)})

    async def with_prefix(self, prefix: str) -> tuple[RunState, ...]:
        """Every warm-up whose id begins so, over or not, until it is purged."""
        return await self._list({"instanceIdPrefix": prefix})

    async def over_before(self, moment: datetime, most: int) -> tuple[str, ...]:
        """The ids of runs that began before a moment and are over, of whatever story; at most so many."""
        query = {
            "createdTimeTo": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "runtimeStatus": ",".join(TERMINAL),
            "showInput": "false",
        }
        rows = await _answer(beginning_of_list(self._base, query, most))
        return tuple(str(row.get("instanceId")) for row in rows)

    async def forget(self, run_id: str) -> bool:
        """Purge one run that is over; False when it is not there any more.

        One by one: a purge of all that is old takes minutes where thousands are, and nobody waits for it.
        """
        result = await _answer(self._client.purge_instance_history(run_id))
        return bool(result.instances_deleted)

    async def _list(self, query: Mapping[str, str]) -> tuple[RunState, ...]:
        rows = await _answer(whole_list(self._base, query))
        return tuple(_state(status) for status in map(_read, rows) if status.name == WARM_UP)

    @property
    def _base(self) -> str:
        """Where the SDK asks; it has no public name for that, nor for how."""
        return str(self._client._orchestration_bindings.rpc_base_url)  # noqa: SLF001


async def _answer(question: Awaitable[T]) -> T:
    try:
        return await asyncio.wait_for(question, BUDGET_SECONDS)
    except TimeoutError:
        raise PassingError(f"the task hub did not answer within {BUDGET_SECONDS:g} s") from None
    except Exception as failure:
        # The SDK knows no other class; its text may be long and foreign.
        raise PassingError(f"the task hub refused: {str(failure)[:256]}") from failure


def _read(row: object) -> DurableOrchestrationStatus:
    try:
        return DurableOrchestrationStatus.from_json(row)
    except (ValueError, KeyError, TypeError, AttributeError) as unread:
        raise PassingError(f"the task hub told what cannot be read: {unread!r}"[:256]) from unread


def _state(status: DurableOrchestrationStatus) -> RunState:
    return RunState(
        run_id=str(status.instance_id),
        runtime_status=status.runtime_status.name if status.runtime_status else "Pending",
        custom_status=status.custom_status,
        output=status.output,
        created_at=_moment(status.created_time),
        updated_at=_moment(status.last_updated_time),
        run=_run(status.input_),
    )


def _moment(value: datetime | None) -> datetime:
    moment = value or _BEGINNING
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _run(document: object) -> Run | None:
    """The SDK stores an input as JSON text within JSON; an older release's may not fit any more."""
    try:
        read = json.loads(document) if isinstance(document, str) else document
        return decode(Run, read) if read else None
    except (ValueError, WireError):
        return None
