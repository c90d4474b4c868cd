"""Threads in which blocking calls run, each on behalf of the invocation that wanted it.

A worker tells the lines of one invocation from another's by its task on the loop, by a thread-local where
there is no loop, and newer workers by a context variable. A thread of our own has none of them: unless it is
told, its lines reach Application Insights without an operation, and nobody finds them from the run.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar, cast

import azure.functions as func

V = TypeVar("V")

# Apart from the loop's own few threads: a frozen cluster holds one until its adapter gives up, and a
# dozen frozen ones must not keep others from being asked.
_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="door")
_present: ContextVar[func.Context | None] = ContextVar("invocation", default=None)


@contextmanager
def invoked(context: func.Context) -> Iterator[None]:
    """What is done in here is done for this invocation."""
    before = _present.set(context)
    try:
        yield
    finally:
        _present.reset(before)


def in_thread(call: Callable[[], V]) -> "asyncio.Future[V]":
    """Run a blocking call in a thread; what it logs is the present invocation's."""
    return asyncio.get_running_loop().run_in_executor(_THREADS, copy_context().run, _attributed, call)


def _attributed(call: Callable[[], V]) -> V:
    context = _present.get()
    if context is None:
        return call()
    storage = cast("threading.local", context.thread_local_storage)
    storage.invocation_id = context.invocation_id
    try:
        return call()
    finally:
        storage.invocation_id = None
