"""Engine events in the classic form, as recorded from the real extension."""

from datetime import UTC, datetime

from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb

from local.host.protocol.history import Event, Identity, ParentLink, format_time, parse_time, translate

AT = datetime(2026, 11, 23, 22, 20, 10, 960058, tzinfo=UTC)
IDENTITY = Identity(execution_id="x-1", generation=0)


def classic(event: pb.HistoryEvent, identity: Identity = IDENTITY, *, played: bool = False) -> Event:
    event.timestamp.FromDatetime(AT)
    (translated,) = translate([event], identity, played=played)
    return translated


def test_times_drop_trailing_zeros_as_dotnet_does() -> None:
    assert format_time(AT) == "2026-11-23T22:20:10.960058Z"
    assert format_time(AT.replace(microsecond=120000)) == "2026-11-23T22:20:10.12Z"
    assert format_time(AT.replace(microsecond=0)) == "2026-11-23T22:20:10Z"


def test_times_with_seven_decimals_are_read() -> None:
    assert parse_time("2026-11-23T22:20:10.9605814Z") == AT.replace(microsecond=960581)


def test_an_execution_begins_with_the_recorded_keys() -> None:
    assert classic(helpers.new_execution_started_event("fan", "i-1", '"3"')) == {
        "EventType": 0,
        "OrchestrationInstance": {"InstanceId": "i-1", "ExecutionId": "x-1"},
        "ParentInstance": None,
        "Name": "fan",
        "Version": None,
        "Input": '"3"',
        "Tags": None,
        "Correlation": None,
        "ParentTraceContext": None,
        "ScheduledStartTime": None,
        "Generation": 0,
        "GenerateNewTrace": False,
        "EventId": -1,
        "IsPlayed": False,
        "Timestamp": "2026-11-23T22:20:10.960058Z",
    }


def test_a_child_names_its_parent_and_a_restarted_instance_its_source() -> None:
    parent = ParentLink(name="p", instance_id="p-1", execution_id="px", sequence=9)
    identity = Identity(execution_id="x", generation=None, parent=parent, source_instance_id="old")
    started = classic(helpers.new_execution_started_event("child", "c-1"), identity)
    assert started["ParentInstance"] == {
        "Name": "p",
        "OrchestrationInstance": {"InstanceId": "p-1", "ExecutionId": "px"},
        "TaskScheduleId": 9,
        "Version": None,
    }
    assert started["Tags"] == {"MS_DurableFunctions_SourceInstanceId": "old"}
    assert started["Generation"] is None


def test_a_scheduled_activity_hides_its_input_and_is_never_played() -> None:
    event = classic(helpers.new_task_scheduled_event(2, "square", "3"), played=True)
    assert (event["EventId"], event["Input"], event["IsPlayed"]) == (2, None, False)


def test_a_completed_activity_of_the_past_is_played() -> None:
    event = classic(helpers.new_task_completed_event(2, "9"), played=True)
    assert (event["TaskScheduledId"], event["Result"], event["IsPlayed"]) == (2, "9", True)


def test_a_result_of_nothing_is_null() -> None:
    assert classic(helpers.new_task_completed_event(0, None))["Result"] is None


def test_events_that_the_sdk_does_not_know_are_left_out() -> None:
    rewound = pb.HistoryEvent(executionRewound=pb.ExecutionRewoundEvent())
    assert translate([rewound], IDENTITY, played=True) == []
