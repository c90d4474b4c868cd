"""The bridge from actions to decisions, over literal histories."""

from datetime import UTC, datetime, timedelta

import pytest

from local.host.protocol.history import Event
from local.host.protocol.replay import (
    Action,
    Decision,
    NonDeterministicError,
    NotServedError,
    Registered,
    replay,
)
from local.host.protocol.tasks import Kind

REGISTERED = Registered(activities=frozenset({"square", "flaky"}), orchestrators=frozenset({"child"}))
BEGIN: list[Event] = [
    {"EventType": 12, "Timestamp": "2026-01-01T00:00:00Z"},
    {"EventType": 0, "Timestamp": "2026-01-01T00:00:00Z"},
]
CONTINUE: Action = {"actionType": 4, "input": "7"}


def call(name: str = "square") -> Action:
    return {"actionType": 0, "functionName": name, "input": "1"}


def call_child(instance_id: str | None = None) -> Action:
    return {
        "actionType": 2,
        "functionName": "child",
        "input": "1",
        "instanceId": instance_id,
        "version": None,
    }


def retrying(attempts: int = 2) -> Action:
    options = {"firstRetryIntervalInMilliseconds": 5000, "maxNumberOfAttempts": attempts}
    return {"actionType": 1, "functionName": "flaky", "input": "1", "retryOptions": options}


def timer(*, cancelled: bool = False) -> Action:
    return {"actionType": 5, "fireAt": "2026-01-01T00:01:00.500000Z", "isCanceled": cancelled}


def wait(name: str = "go") -> Action:
    return {"actionType": 6, "externalEventName": name, "reason": "ExternalEvent"}


def any_of(*actions: Action) -> Action:
    return {"actionType": 11, "compoundActions": list(actions)}


def all_of(*actions: Action) -> Action:
    return {"actionType": 12, "compoundActions": list(actions)}


def scheduled(sequence: int, name: str = "square") -> Event:
    return {"EventType": 4, "EventId": sequence, "Name": name, "Version": ""}


def child_created(sequence: int, instance_id: str = "c") -> Event:
    return {"EventType": 7, "EventId": sequence, "Name": "child", "Version": None, "InstanceId": instance_id}


def timer_created(sequence: int) -> Event:
    return {"EventType": 10, "EventId": sequence, "FireAt": "2026-01-01T00:01:00Z"}


def completed(sequence: int) -> Event:
    return {"EventType": 5, "TaskScheduledId": sequence, "Result": "1"}


def failed(sequence: int) -> Event:
    return {"EventType": 6, "TaskScheduledId": sequence, "Reason": "no", "Details": ""}


def fired(sequence: int) -> Event:
    return {"EventType": 11, "TimerId": sequence}


def raised(name: str = "go") -> Event:
    return {"EventType": 15, "Name": name, "Input": "1"}


def at(seconds: int) -> Event:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return {"EventType": 12, "Timestamp": moment.isoformat()}


def decide(actions: list[Action], *events: Event) -> Decision:
    return replay([*BEGIN, *events], actions, REGISTERED)


def schedule_of(decision: Decision) -> list[tuple[int | None, Kind]]:
    return [(leaf.sequence, leaf.kind) for leaf in decision.schedule]


def test_the_first_action_is_scheduled_as_number_zero() -> None:
    decision = decide([call()])
    assert schedule_of(decision) == [(0, Kind.ACTIVITY)]
    assert not decision.over


def test_what_history_has_is_not_scheduled_again() -> None:
    assert schedule_of(decide([call()], scheduled(0))) == []


def test_the_next_action_waits_for_the_one_before() -> None:
    actions = [call(), call_child("c-1")]
    assert schedule_of(decide(actions, scheduled(0))) == []
    assert schedule_of(decide(actions, scheduled(0), completed(0))) == [(1, Kind.CHILD)]


def test_children_of_a_compound_are_numbered_in_list_order() -> None:
    decision = decide([all_of(call(), timer(), call_child())])
    assert schedule_of(decision) == [(0, Kind.ACTIVITY), (1, Kind.TIMER), (2, Kind.CHILD)]


def test_an_orchestrator_whose_actions_are_all_awaited_is_over() -> None:
    assert decide([call()], scheduled(0), completed(0)).over
    assert decide([]).over


def test_an_open_loser_holds_the_end_back() -> None:
    actions = [any_of(timer(), call())]
    history = [timer_created(0), scheduled(1), fired(0)]
    assert not decide(actions, *history).over
    assert decide(actions, *history, completed(1)).over


def test_a_cancelled_timer_holds_nothing_back() -> None:
    actions = [any_of(wait(), timer(cancelled=True))]
    assert decide(actions, timer_created(0), raised()).over


def test_a_timer_cancelled_before_it_was_set_is_not_set() -> None:
    assert schedule_of(decide([timer(cancelled=True)])) == []


def test_an_open_event_wait_holds_nothing_back() -> None:
    assert decide([any_of(wait(), call())], scheduled(0), completed(0)).over


def test_a_failed_attempt_is_followed_by_a_timer_and_another_attempt() -> None:
    after_failure = decide([retrying()], scheduled(0, "flaky"), at(10), failed(0))
    assert schedule_of(after_failure) == [(1, Kind.TIMER)]
    assert after_failure.schedule[0].fire_at == datetime(2026, 1, 1, 0, 0, 15, tzinfo=UTC)
    after_timer = decide([retrying()], scheduled(0, "flaky"), failed(0), timer_created(1), fired(1))
    assert schedule_of(after_timer) == [(2, Kind.ACTIVITY)]


def test_the_last_failure_waits_for_one_more_timer_that_is_due_at_once() -> None:
    history = [scheduled(0, "flaky"), at(10), failed(0)]
    waiting = decide([retrying(attempts=1)], *history)
    assert waiting.schedule[0].fire_at == datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)
    assert not waiting.over
    assert decide([retrying(attempts=1)], *history, timer_created(1), fired(1)).over


def test_two_waits_for_one_event_are_served_last_in_first_out() -> None:
    actions = [any_of(wait("e"), all_of(wait("e"), call()))]
    assert not decide(actions, scheduled(0), completed(0)).over
    assert decide(actions, scheduled(0), completed(0), raised("E")).over


def test_an_early_event_is_kept_for_its_wait() -> None:
    actions = [call(), wait("go"), call()]
    assert schedule_of(decide(actions, scheduled(0), raised("GO"), completed(0))) == [(1, Kind.ACTIVITY)]


def test_events_after_continuing_are_carried_over() -> None:
    decision = decide([wait("e"), CONTINUE], raised("e"), raised("e"), raised("other"))
    assert decision.over
    assert decision.continues_with == "7"
    assert [event["Name"] for event in decision.carried] == ["e", "other"]


def test_an_event_that_was_buffered_before_continuing_is_lost() -> None:
    decision = decide([wait("e"), CONTINUE], raised("other"), raised("e"))
    assert decision.carried == ()


def test_an_open_activity_holds_continuing_back() -> None:
    actions = [any_of(wait("e"), call()), CONTINUE]
    assert not decide(actions, scheduled(0), raised("e")).over
    assert decide(actions, scheduled(0), raised("e"), completed(0)).over


def test_a_misspelt_activity_schedules_nothing_and_never_ends() -> None:
    decision = decide([call("sqare"), call()])
    assert schedule_of(decision) == []
    assert not decision.over


def test_a_misspelt_activity_of_a_compound_leaves_its_elder_siblings_scheduled() -> None:
    decision = decide([all_of(call(), call("sqare"), call())])
    assert schedule_of(decision) == [(0, Kind.ACTIVITY)]
    assert not decision.over


def test_function_names_are_compared_without_case() -> None:
    assert schedule_of(decide([call("SQUARE")])) == [(0, Kind.ACTIVITY)]


EARLIER = (
    "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled an activity"
)
CHANGED = "Was a change made to the orchestrator code after this instance had already started running?"
ANOTHER_NAME = (
    f"{EARLIER} task with sequence number 0 named 'square', but the current orchestration replay instead "
    f"scheduled an activity task named 'flaky' with this sequence number.  {CHANGED}"
)
NOTHING = (
    f"{EARLIER} task with sequence ID 0 and name 'square' (version ''), but the current replay execution "
    f"hasn't (yet?) scheduled this task. {CHANGED}"
)
ANOTHER_KIND = (
    f"{EARLIER} task with sequence number 0 named 'square', but the current orchestration replay instead "
    f"produced a CreateTimerOrchestratorAction action with this sequence number. {CHANGED}"
)


@pytest.mark.parametrize(
    ("actions", "text"),
    [([call("flaky")], ANOTHER_NAME), ([], NOTHING), ([timer()], ANOTHER_KIND)],
    ids=["another name", "nothing", "another kind"],
)
def test_a_change_of_mind_is_reported_in_the_recorded_words(actions: list[Action], text: str) -> None:
    with pytest.raises(NonDeterministicError) as caught:
        decide(actions, scheduled(0))
    assert str(caught.value) == text


def test_a_timer_that_became_an_activity_is_reported_in_the_recorded_words() -> None:
    with pytest.raises(NonDeterministicError) as caught:
        decide([call()], timer_created(0))
    assert str(caught.value) == (
        "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled a timer "
        "task with sequence number 0 named but the current orchestration replay instead produced a "
        f"ScheduleTaskOrchestratorAction action with this sequence number. {CHANGED}"
    )


@pytest.mark.parametrize("event", [child_created(0), timer_created(0)], ids=["child", "timer"])
def test_a_dropped_child_or_timer_is_non_deterministic_too(event: Event) -> None:
    with pytest.raises(NonDeterministicError, match=r"hasn't \(yet\?\) scheduled this task"):
        decide([], event)


def test_an_entity_call_is_refused_by_name() -> None:
    with pytest.raises(NotServedError, match="CALL_ENTITY is not served"):
        decide([{"actionType": 7, "instanceId": "@counter@k", "operation": "get", "input": "null"}])
