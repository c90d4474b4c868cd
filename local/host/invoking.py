"""Run the app's code as the production Python worker does.

One event loop dispatches everything and runs async functions; one small thread pool runs sync
activities, sync HTTP functions and orchestrators alike. So a blocking call in an async function
stops the app, and slow activities starve orchestrators: here as there.
"""

import asyncio
import concurrent.futures.thread
import functools
import sys
import threading
import traceback
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
from azure.functions.durable_functions import ActivityTriggerConverter, OrchestrationTriggerConverter
from azure.functions.meta import Datum

from local.host.config import format_time_span, worker_threads
from local.host.faults import Faults
from local.host.indexing import Function, Trigger
from local.host.protocol.texts import WorkerFailure

_HOST_FILES = {__file__, concurrent.futures.thread.__file__}
_WITH_CONTEXT = {Trigger.HTTP, Trigger.ACTIVITY, Trigger.TIMER}


class FunctionTimeoutError(Exception):
    """A function ran longer than host.json's functionTimeout."""


class WorkerEndedError(Exception):
    """A function ended its process: the real host would start another worker, and call it again."""


class Context(func.Context):
    """What a function sees of its own invocation."""

    def __init__(self, function: Function, root: Path) -> None:
        """Give the invocation an id of its own."""
        self._function = function
        self._root = root
        self._invocation_id = str(uuid.uuid4())
        self._thread_local = threading.local()

    @property
    def invocation_id(self) -> str:
        """A fresh id per invocation."""
        return self._invocation_id

    @property
    def function_name(self) -> str:
        """The function's name."""
        return self._function.name

    @property
    def function_directory(self) -> str:
        """Where the app lies."""
        return str(self._root)

    @property
    def thread_local_storage(self) -> Any:
        """Lets user threads log under this invocation."""
        return self._thread_local

    @property
    def trace_context(self) -> Any:
        """No tracing: empty."""
        return SimpleNamespace(trace_parent="", trace_state="", attributes={})

    @property
    def retry_context(self) -> Any:
        """No retry policies of the host's own."""
        return SimpleNamespace(retry_count=0, max_retry_count=0, exception=None)


class Invoker:
    """Runs functions on the loop and the pool."""

    def __init__(self, root: Path, timeout: timedelta | None, client_binding: str, faults: Faults) -> None:
        """Start the loop's thread; durable client parameters are given `client_binding`."""
        self._root = root
        self._faults = faults
        self._timeout = timeout
        self._client_binding = client_binding
        _parse_times_quickly()
        # The worker's own default: that of ThreadPoolExecutor, min(32, cpus + 4).
        self._pool = concurrent.futures.ThreadPoolExecutor(worker_threads(), thread_name_prefix="worker")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="worker-loop").start()

    def soon(self, act: Callable[[], object]) -> None:
        """Have the loop do something small next; any thread may ask."""
        self._loop.call_soon_threadsafe(act)

    def submit(self, function: Function, arguments: dict[str, Any]) -> concurrent.futures.Future[Any]:
        """Run a function from another thread; the future fails as `run` does."""
        return asyncio.run_coroutine_threadsafe(self.run(function, arguments), self._loop)

    async def run_activity(self, function: Function, payload: str | None) -> str:
        """Run an activity, on the loop: JSON text in, JSON text out."""
        argument = None
        if payload is not None:
            argument = ActivityTriggerConverter.decode(Datum(payload, "string"), trigger_metadata=None)
        result = await self.run(function, {function.trigger_name: argument})
        return str(ActivityTriggerConverter.encode(result, expected_type=None).value)

    async def run_orchestrator(self, function: Function, context: str) -> str:
        """Replay an orchestrator, on the loop: the context's JSON in, the state's JSON out."""
        argument = OrchestrationTriggerConverter.decode(Datum(context, "string"), trigger_metadata=None)
        return str(await self.run(function, {function.trigger_name: argument}))

    async def run(self, function: Function, arguments: dict[str, Any]) -> Any:
        """Run a function, on the loop; fails with its exception or FunctionTimeoutError."""
        if "context" in function.parameters and function.trigger in _WITH_CONTEXT:
            arguments.setdefault("context", Context(function, self._root))
        arguments |= dict.fromkeys(function.client_parameters, self._client_binding)
        limit = self._timeout.total_seconds() if self._timeout else None
        try:
            # A thread cannot be stopped: after a time-out its result is no longer awaited.
            async with asyncio.timeout(limit) as scope:
                async with self._faults.around(function):
                    return await self._call(function, arguments)
        except SystemExit as error:
            # Uncaught, it would end the loop, and with it every function.
            raise WorkerEndedError(f"the function called sys.exit({error.code})") from error
        except TimeoutError as error:
            if self._timeout is None or not scope.expired():
                raise
            raise FunctionTimeoutError(
                f"Timeout value of {format_time_span(self._timeout)} was exceeded by function: "
                f"Functions.{function.name}"
            ) from error

    async def _call(self, function: Function, arguments: dict[str, Any]) -> Any:
        if function.is_async:
            return await function.call(**arguments)
        call = functools.partial(function.call, **arguments)
        return await self._loop.run_in_executor(self._pool, call)


def describe_failure(error: BaseException) -> WorkerFailure:
    """Describe an exception of user code as the worker reports it; the host's frames are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    below_host = max((n for n, frame in enumerate(frames, 1) if frame.filename in _HOST_FILES), default=0)
    return WorkerFailure(
        type_name=type(error).__name__,
        message=str(error),
        stack="".join(traceback.format_list(frames[below_host:])),
    )


def _parse_times_quickly() -> None:
    """Have the SDK read the host's time stamps by datetime's own parser.

    It reads every event's with dateutil in every episode, 0.1 ms each: four fifths of a replay.
    """
    history_event = sys.modules.get("azure.durable_functions.models.history.HistoryEvent")
    if history_event is not None:
        vars(history_event)["dt_parse"] = quick_parser(vars(history_event)["dt_parse"])


def quick_parser(parse: Callable[[str], datetime]) -> Callable[[str], datetime]:
    """What reads `2026-11-26T10:00:00.123Z` as `parse` would, and leaves what ends otherwise to it."""
    utc = parse("1970-01-01T00:00:00Z").tzinfo

    def quickly(text: str) -> datetime:
        if not text.endswith("Z"):
            return parse(text)
        return datetime.fromisoformat(text).replace(tzinfo=utc)

    return quickly
