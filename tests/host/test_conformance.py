"""The questions that were put to the real extension, put to this host: the same answers.

Compared are status, content type, location, retry and continuation headers, and the body with
its key order and values. What may differ is listed in TOLERATED with its reason, and nothing else
may; a tolerance that is no longer needed fails too.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from testkit.hosting import RunningHost, Starter
from testkit.interviewing import Interview, Tolerances
from testkit.recordings import load

GOLDEN = Path(__file__).parents[1] / "golden" / "durable" / "exchanges.jsonl"
RECORDED_APP = Path(__file__).parent / "recorded_app"

TOLERATED: Tolerances = {
    "raise_bad_json": (("body", "ExceptionMessage"), "Newtonsoft's wording of a syntax error"),
    "raise_empty": (("body", "ExceptionMessage"), "Newtonsoft's wording of a syntax error"),
    "start_bad_json": (("body", "ExceptionMessage"), "Newtonsoft's wording of a syntax error"),
    "non_determinism_nondet_type": (
        ("body", "historyEvents"),
        "the real one records the timer that the failing replay set; ours sets nothing then",
    ),
    "start_not_json": (("body", "ExceptionMessage"), "Newtonsoft's wording of a syntax error"),
}


@pytest.fixture(scope="module")
def recorded_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    starter = Starter(tmp_path_factory.mktemp("recorded"))
    yield starter("--log-level", "error", app=RECORDED_APP)
    starter.end_all()


@pytest.fixture(scope="module")
def interview(recorded_host: RunningHost) -> Interview:
    return Interview(recorded_host, load(GOLDEN), TOLERATED)


def test_starts_answer_with_links(interview: Interview) -> None:
    interview.ask("create_check_status_response", "start_by_management_api", "start_by_management_api_id")
    interview.ask("start_by_rpc")


def test_a_start_can_wait_for_the_end(interview: Interview) -> None:
    interview.ask("start_and_wait_api", "start_and_wait_api_failed", "start_and_wait_api_timeout")
    interview.ask("start_and_wait_api_badinterval")


def test_a_running_instance_shows_itself(interview: Interview) -> None:
    interview.begin("status_kinds", "st-run", [1, {"a": "b"}])
    interview.ask("status_running", "status_full_query", "status_other_hub", "status_rpc_running")


def test_a_finished_instance_takes_no_more(interview: Interview) -> None:
    interview.begin("fan", "st-ok", 3, "Completed")
    interview.ask("status_completed", "terminate_completed", "suspend_completed", "resume_completed")
    interview.ask("rewind_completed", "raiseEvent/go_completed")


def test_a_failed_instance_shows_why(interview: Interview) -> None:
    for name, instance_id in (
        ("fail_act", "st-failed"),
        ("fail_key", "st-failkey"),
        ("fail_sub", "st-failsub"),
    ):
        interview.begin(name, instance_id, until="Failed")
    interview.ask("status_failed", "status_failed_own_exception", "status_failed_sub")
    interview.ask("terminate_failed", "suspend_failed", "resume_failed", "raiseEvent/go_failed")


def test_an_unknown_instance_is_not_found(interview: Interview) -> None:
    interview.ask("status_unknown", "status_unknown_history", "status_unknown_rpc", "terminate_missing")
    interview.ask(
        "suspend_missing", "resume_missing", "raiseEvent/go_missing", "rewind_missing", "restart_missing"
    )


def test_suspension_shows_its_reason_and_keeps_events(interview: Interview) -> None:
    interview.begin("wait_go", "sus-1")
    interview.ask("resume_running", "suspend")
    interview.host.until("sus-1", "Suspended")
    interview.ask("status_suspended", "suspend_suspended", "raise_event_suspended")
    interview.until_history("sus-1", "ExecutionStarted", "ExecutionSuspended", "EventRaised")
    interview.ask("status_suspended_after_event", "resume")
    interview.host.until("sus-1")
    interview.ask("status_after_resume")


def test_termination_shows_its_reason(interview: Interview) -> None:
    for instance_id in ("term-1", "term-2", "term-3"):
        interview.begin("wait_go", instance_id)
    interview.ask("terminate", "terminate_no_reason")
    for instance_id in ("term-1", "term-2"):
        interview.host.until(instance_id)
    interview.ask("status_terminated", "status_terminated_no_reason", "terminate_terminated")
    interview.ask("suspend_terminated", "resume_terminated", "rewind_terminated", "raiseEvent/go_terminated")
    interview.host.ask("POST", "/instances/term-3/suspend?reason=s")
    interview.host.until("term-3", "Suspended")
    interview.ask("terminate_suspended")
    interview.host.until("term-3")
    interview.ask("status_terminated_from_suspended")


def test_events_are_json_and_nothing_else(interview: Interview) -> None:
    interview.begin("event_types", "ev-1", 6)
    interview.ask(
        "raise_no_content_type", "raise_text", "raise_bad_json", "raise_empty", "raise_empty_status"
    )
    for number in range(5):
        interview.ask_one("raise_json", number)
        interview.until_history("ev-1", "ExecutionStarted", *["EventRaised"] * (number + 1))
    interview.ask("event_types_result")


def test_what_is_no_operation_is_not_found(interview: Interview) -> None:
    interview.ask("raise_get", "raise_no_name", "unknown_op", "put_instance", "root", "get_orchestrators")


def test_a_running_id_is_refused_and_a_finished_one_replaced(interview: Interview) -> None:
    interview.begin("wait_go", "dup-1")
    interview.ask("start_duplicate_running_api", "start_duplicate_running_rpc")
    interview.begin("imm", "dup-2", until="Completed")
    interview.ask("start_duplicate_completed")
    interview.host.until("dup-2")
    interview.ask("start_duplicate_completed_status")
    interview.ask("list_prefix", "list_status_multi", "list_status_bad", "list_none", "list_time")
    interview.ask("list_time_future", "list_bad_time", "list_top0", "list_slash_rpc", "list_bad_token")
    interview.ask("list_showhistory")
    interview.ask("purge_running", "purge_missing", "purge_one", "purge_one_again", "purge_no_from")
    interview.ask("purge_old_none")


STRANGE_IDS = {
    "@x": "@x",
    "a%5Cb": "a%5Cb",
    "a%23b": "a%23b",
    "a%3Fb": "a%3Fb",
    "a%0Ab": "a%0Ab",
    "100x": "x" * 100,
    "256x": "x" * 256,
    "257x": "x" * 257,
    "%C3%BC-%E2%82%AC": "%C3%BC-%E2%82%AC",
}


@pytest.mark.parametrize(("number", "name"), list(enumerate(STRANGE_IDS)), ids=list(STRANGE_IDS))
def test_ids_are_not_judged(interview: Interview, number: int, name: str) -> None:
    interview.ask(f"start_id_{name}")
    interview.host.until(STRANGE_IDS[name])
    interview.ask_one("start_id_status", number)


def test_a_slash_in_an_id_matches_no_route(interview: Interview) -> None:
    interview.ask("start_id_a%2Fb")


def test_any_name_starts_and_an_unknown_one_fails(interview: Interview) -> None:
    for scenario, instance_id in (
        ("start_unknown_orchestrator", "unk-1"),
        ("start_wrong_case", "case-1"),
        ("start_activity_name", "act-1"),
    ):
        interview.ask(scenario)
        interview.host.until(instance_id)
        interview.ask(f"{scenario}_status")


def test_a_body_that_is_not_json_is_refused(interview: Interview) -> None:
    interview.ask("start_bad_json", "start_not_json", "start_json_no_content_type")
    interview.host.until("ct-1")
    interview.ask("start_json_no_content_type_status")


def test_inputs_arrive_as_they_do_for_real(interview: Interview) -> None:
    for number in range(8):
        interview.ask_one("input_type_api", number)
        interview.host.until(f"inp-{number}")
        interview.ask_one("input_type_api_status", number)
    interview.ask("input_empty_api")
    interview.host.until("inp-empty")
    interview.ask("input_empty_api_status")


def test_inputs_of_the_sdk_are_json_in_a_string(interview: Interview) -> None:
    payloads = [None, True, 5, "text", [1], {"a": 1, "d": "2026-01-02T03:04:05Z"}]
    for number, payload in enumerate(payloads):
        interview.begin("input_type", f"sinp-{number}", payload, "Completed")
        interview.ask_one("input_type_sdk_status", number)
    interview.ask("list_prefix_showinput_false")


def test_custom_statuses_are_shown_and_falsy_ones_clear_it(interview: Interview) -> None:
    interview.begin("status_kinds", "cs-1", [{"a": [1, None]}, "text", 0, "", [1, 2], None])
    for number in range(6):
        interview.ask_one("custom_status_while_running", number)
        interview.event("cs-1", "go", number)
    interview.host.until("cs-1")
    interview.ask("custom_status_after_completion")


def test_a_custom_status_may_have_16_kb(interview: Interview) -> None:
    interview.begin("status_size", "ct-8701", 8701)
    interview.begin("status_size", "ct-8702", 8702, "Failed")
    interview.ask("custom_status_threshold_8701", "custom_status_threshold_8702")


def test_restarting_needs_an_end(interview: Interview) -> None:
    interview.begin("input_type", "rs-1", {"q": 1}, "Completed")
    interview.ask("restart_default", "restart_same_id")
    interview.host.until("rs-1")
    interview.ask("restart_same_id_status")
    interview.begin("wait_go", "rr-1")
    interview.ask("restart_running_same_id", "restart_running_new_id", "purge_running2")
    interview.ask("rewind_running")


def test_misspelt_functions_hang_the_run(interview: Interview) -> None:
    interview.begin("unknown_act_after", "ua-2")
    interview.begin("unknown_sub", "us-1")
    interview.until_history("ua-2", "ExecutionStarted", "TaskCompleted")
    interview.ask("unknown_activity_middle", "unknown_sub_orchestrator")


def test_continuing_as_new_loses_only_what_was_buffered(interview: Interview) -> None:
    interview.begin("can3", "cn-1", 0, "Completed")
    interview.ask("continue_as_new")
    interview.begin("can_event", "cn-2", {"n": 4, "got": []})
    for number in range(4):
        interview.host.raise_event("cn-2", "e", number)
    interview.host.until("cn-2")
    interview.ask("continue_as_new_events_burst")
    interview.begin("can_lost", "cl-1", 0)
    interview.event("cl-1", "other", 1)
    interview.event("cl-1", "first", 1)
    interview.host.until("cl-1")
    interview.ask("continue_as_new_buffered_event")


def test_changed_code_is_named(interview: Interview) -> None:
    for name in ("nondet_drop", "nondet_type"):
        interview.begin(name, f"nd-{name}")
        interview.until_history(f"nd-{name}", "ExecutionStarted", "TaskCompleted")
    interview.host.ask("POST", "/api/change-mind")
    for name in ("nondet_drop", "nondet_type"):
        interview.host.raise_event(f"nd-{name}", "go", 1)
        interview.host.until(f"nd-{name}")
        interview.ask(f"non_determinism_{name}")


def test_errors_have_the_recorded_words(interview: Interview) -> None:
    for name, instance_id in (("yield_five", "yf-1"), ("bad_output", "bo-1"), ("act_bad_return", "abr-1")):
        interview.begin(name, instance_id, until="Failed")
    interview.ask("yield_non_task", "bad_output", "activity_bad_return")


def test_what_is_open_holds_the_end_back(interview: Interview) -> None:
    interview.begin("fast_fail", "ff-1")
    interview.begin("any_leftover", "al-1")
    for instance_id in ("ff-1", "al-1"):
        interview.until_custom_status(instance_id)
    interview.ask("task_all_fail_fast_early", "task_any_leftover_early")
    for instance_id in ("ff-1", "al-1"):
        interview.host.until(instance_id)
    interview.ask("task_all_fail_fast_final", "task_any_leftover_final")


def test_a_child_outlives_its_parent(interview: Interview) -> None:
    interview.begin("parent_wait", "pw-1")
    interview.host.until_true(
        lambda: interview.host.ask("GET", "/instances/pw-1-child").status, lambda s: s == 202
    )
    interview.host.until("pw-1-child", "Running")
    interview.ask("parent_with_running_child", "terminate_parent")
    interview.host.until("pw-1")
    interview.ask("child_after_parent_terminated")


def test_two_waits_of_one_name(interview: Interview) -> None:
    interview.begin("two_waits", "tw-1")
    interview.event("tw-1", "x", 1)
    interview.event("tw-1", "x", 2)
    interview.host.until("tw-1")
    interview.ask("two_waiters_same_event")


def test_a_race_is_won_by_the_event(interview: Interview) -> None:
    interview.begin("any_ev", "ae-1", 3)
    interview.event("ae-1", "go", {"x": 1})
    interview.host.until("ae-1")
    interview.ask("when_any_event_wins_cancel")


def test_values_pass_through_activities_unharmed(interview: Interview) -> None:
    interview.begin("types", "ty-1", until="Completed")
    interview.begin("fan20", "fo-1", until="Completed")
    interview.ask("activity_value_types", "fan_out_20")


def test_error_texts_reach_python_unchanged(interview: Interview) -> None:
    interview.begin("err_text", "et-1", until="Completed")
    output = interview.host.status("et-1")["output"]
    (exchange,) = load(GOLDEN)["error_texts"]
    firsts = {name: error["str"].partition(" \n ")[0] for name, error in output.items()}
    assert firsts == {
        name: error["str"].partition(" \n ")[0] for name, error in exchange.body["output"].items()
    }


def test_tasks_that_are_not_awaited_yet_are_not_scheduled(interview: Interview) -> None:
    interview.begin("ten_acts_event", "ta-1")
    interview.ask("activities_not_awaited_yet")


def test_retries_end_as_they_do_for_real(interview: Interview) -> None:
    interview.host.start("act_retry", {"key": "x", "ok_at": 99, "ms": 50, "n": 3}, "ar-2")
    interview.host.start("retry_parallel", None, "rp-1")
    interview.ask_outcome("activity_retry_exhausted", "ar-2")
    interview.ask_outcome("retry_parallel", "rp-1")


def test_a_retry_that_lost_a_race_makes_the_run_non_deterministic(interview: Interview) -> None:
    interview.host.start("reuse_retry", None, "rur-1")
    # Which task it stumbles over depends on when the timer fires; that it stumbles does not.
    output = interview.host.until("rur-1")["output"]
    assert output.startswith(
        "Non-Deterministic workflow detected: A previous execution of this orchestration"
    )


def test_early_events_repeat_themselves_as_they_do_for_real(interview: Interview) -> None:
    interview.begin("early2", "es-1")
    interview.event("es-1", "e", "A")
    interview.begin("early2", "ed-1")
    interview.event("ed-1", "e", "A")
    interview.event("ed-1", "e", "B")
    interview.ask_outcome("early_event_single", "es-1")
    interview.ask_outcome("early_event_double", "ed-1")
