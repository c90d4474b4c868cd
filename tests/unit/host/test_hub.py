"""The stock backend's defects, each seen in it and not in the hub.

When a stock half fails after an upgrade of durabletask, the override that it proves can go.
"""

import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NoReturn, cast

import grpc
import pytest
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.testing import in_memory_backend
from durabletask.testing.in_memory_backend import InMemoryOrchestrationBackend

from local.host.engine.clock import AlarmClock
from local.host.engine.hub import Hub
from local.host.engine.instances import Start


class InProcess:
    def is_active(self) -> bool:
        return True

    def abort(self, _code: grpc.StatusCode, details: str) -> NoReturn:
        raise AssertionError(details)


IN_PROCESS = cast("grpc.ServicerContext", InProcess())
SOON = timedelta(seconds=30)


class Driver:
    """Plays the worker to a backend: takes episodes and answers them."""

    def __init__(self, backend: InMemoryOrchestrationBackend) -> None:
        self.backend = backend
        self._items = backend.GetWorkItems(pb.GetWorkItemsRequest(), IN_PROCESS)

    def start(self, instance_id: str = "i") -> None:
        if isinstance(self.backend, Hub):
            self.backend.begin(Start(name="f", instance_id=instance_id, payload=None))
        else:
            request = pb.CreateInstanceRequest(instanceId=instance_id, name="f")
            self.backend.StartInstance(request, IN_PROCESS)

    def next(self) -> pb.WorkItem:
        return next(self._items)

    def answer(self, item: pb.WorkItem, *actions: pb.OrchestratorAction) -> None:
        response = pb.OrchestratorResponse(
            instanceId=item.orchestratorRequest.instanceId,
            completionToken=item.completionToken,
            actions=actions,
        )
        if isinstance(self.backend, Hub):
            self.backend.complete_orchestration(response)
        else:
            self.backend.CompleteOrchestratorTask(response, IN_PROCESS)

    def finish_activity(self, item: pb.WorkItem, failure: pb.TaskFailureDetails | None = None) -> None:
        response = pb.ActivityResponse(
            instanceId=item.activityRequest.orchestrationInstance.instanceId,
            taskId=item.activityRequest.taskId,
            completionToken=item.completionToken,
            failureDetails=failure,
        )
        if isinstance(self.backend, Hub):
            self.backend.complete_activity(response)
        else:
            self.backend.CompleteActivityTask(response, IN_PROCESS)

    def pending(self, instance_id: str = "i") -> list[str | None]:
        return [e.WhichOneof("eventType") for e in self.backend._instances[instance_id].pending_events]


@pytest.fixture
def stock() -> Iterator[Driver]:
    backend = InMemoryOrchestrationBackend()
    yield Driver(backend)
    backend.stop()


@pytest.fixture
def hub() -> Iterator[Driver]:
    backend = Hub(AlarmClock())
    yield Driver(backend)
    backend.stop()


def call_activity(sequence: int) -> pb.OrchestratorAction:
    return helpers.new_schedule_task_action(sequence, "a", None, None)


def call_child(child_id: str) -> pb.OrchestratorAction:
    return helpers.new_create_sub_orchestration_action(0, "child", child_id, None, None)


def complete(status: pb.OrchestrationStatus, result: str | None = None) -> pb.OrchestratorAction:
    return helpers.new_complete_orchestration_action(-1, status, result, None)


CONTINUED = pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
COMPLETED = pb.ORCHESTRATION_STATUS_COMPLETED


def test_an_earlier_generations_completion_does_not_reach_the_next(stock: Driver, hub: Driver) -> None:
    for driver in (stock, hub):
        driver.start()
        driver.answer(driver.next(), call_activity(0))
        late = driver.next()
        # The episode that ends the generation while its activity is still running.
        driver.backend._enqueue_orchestration("i")
        driver.backend._instances["i"].pending_events.append(helpers.new_event_raised_event("e", "1"))
        driver.answer(driver.next(), complete(CONTINUED, "1"))
        driver.finish_activity(late)
    assert "taskCompleted" in stock.pending()
    assert "taskCompleted" not in hub.pending()


def test_a_replaced_instance_does_not_get_its_predecessors_results(hub: Driver) -> None:
    hub.start()
    hub.answer(hub.next(), call_activity(0), complete(COMPLETED))
    late = hub.next()
    hub.start()
    hub.finish_activity(late)
    assert hub.pending() == ["orchestratorStarted", "executionStarted"]


def test_a_finished_instance_is_not_woken_again(stock: Driver, hub: Driver) -> None:
    for driver in (stock, hub):
        driver.start()
        driver.answer(driver.next(), call_activity(0), complete(COMPLETED))
        driver.finish_activity(driver.next())
    assert list(stock.backend._orchestration_queue) == ["i"]
    assert list(hub.backend._orchestration_queue) == []


def test_a_failure_without_words_is_stored_as_success_by_the_stock_backend(stock: Driver) -> None:
    stock.start()
    stock.answer(stock.next(), call_activity(0))
    stock.finish_activity(stock.next(), pb.TaskFailureDetails(errorType="ValueError", errorMessage=""))
    assert stock.pending() == ["taskCompleted"]


def test_timers_take_no_threads(stock: Driver, hub: Driver) -> None:
    due = (datetime.now(UTC) + SOON).replace(tzinfo=None)
    grown = {}
    for driver in (stock, hub):
        driver.start()
        item = driver.next()
        before = threading.active_count()
        driver.answer(item, *(helpers.new_create_timer_action(n, due) for n in range(5)))
        grown[driver] = threading.active_count() - before
    assert grown == {stock: 5, hub: 0}


def test_a_parent_waits_longer_than_30_seconds(
    stock: Driver, hub: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: queue.Queue[float | None] = queue.Queue()

    class Noting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.put(timeout)
            return super().wait(0.01)

    class Waiter(in_memory_backend.StateWaiter):
        def __init__(self, predicate: object) -> None:
            super().__init__(predicate=predicate, event=Noting())  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(in_memory_backend, "StateWaiter", Waiter)
    for driver in (stock, hub):
        driver.start()
        driver.answer(driver.next(), call_child("c"))
    assert waits.get(timeout=5) == 30.0, "the stock backend's watcher gives up"
    assert waits.empty(), "the hub has no watcher"


def test_a_childs_end_reaches_its_parent(hub: Driver) -> None:
    hub.start()
    hub.answer(hub.next(), call_child("c"))
    hub.answer(hub.next(), complete(COMPLETED, "7"))
    assert hub.pending() == ["subOrchestrationInstanceCompleted"]


def test_a_child_may_take_a_running_instances_id(stock: Driver, hub: Driver) -> None:
    for driver in (stock, hub):
        driver.start("taken")
        driver.next()
        driver.start("i")
        driver.answer(driver.next(), call_child("taken"))
    assert stock.pending("i") == ["subOrchestrationInstanceFailed"]
    assert hub.pending("i") == []
    assert hub.backend._instances["taken"].name == "child"


def test_an_event_wakes_a_suspended_instance(stock: Driver, hub: Driver) -> None:
    for driver in (stock, hub):
        driver.start()
        driver.answer(driver.next())
        driver.backend.SuspendInstance(pb.SuspendRequest(instanceId="i"), IN_PROCESS)
        driver.answer(driver.next())
    stock.backend.RaiseEvent(pb.RaiseEventRequest(instanceId="i", name="e"), IN_PROCESS)
    cast("Hub", hub.backend).raise_event("i", "e", "1")
    assert list(stock.backend._orchestration_queue) == []
    assert list(hub.backend._orchestration_queue) == ["i"]


def test_every_event_has_a_time(stock: Driver, hub: Driver) -> None:
    for driver in (stock, hub):
        driver.start()
        driver.answer(driver.next(), call_activity(0))
    assert 0 in {event.timestamp.seconds for event in stock.backend._instances["i"].history}
    assert 0 not in {event.timestamp.seconds for event in hub.backend._instances["i"].history}


def test_work_is_told_of_and_taken_until_there_is_none(hub: Driver) -> None:
    backend = cast("Hub", hub.backend)
    told: list[str] = []
    backend.tell_of_work(lambda: told.append("work"))
    assert told == ["work"], "there may have been work before anybody listened"
    assert list(backend.work_items()) == []
    hub.start("one")
    hub.start("two")
    assert told == ["work", "work"], "told once for both"
    assert [item.orchestratorRequest.instanceId for item in backend.work_items()] == ["one", "two"]
    hub.start("three")
    assert told == ["work"] * 3


def test_what_a_restored_hub_has_under_way_is_told_of(hub: Driver) -> None:
    hub.start()
    restored = Hub(AlarmClock())
    restored.restore([snapshot for snapshot in cast("Hub", hub.backend).take_changes().values() if snapshot])
    told: list[str] = []
    restored.tell_of_work(lambda: told.append("work"))
    assert told == ["work"]
    assert [item.orchestratorRequest.instanceId for item in restored.work_items()] == ["i"]
