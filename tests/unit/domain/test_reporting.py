"""The agent's report, read as a stranger's."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.causes import Kind
from shared.domain.reporting import MAX_REPORT_BYTES, AgentReport, last_report, parse_report

COUNTS = ("files_done", "files_total", "bytes_done", "bytes_total", "bytes_fetched", "files_fetched",
          "bytes_per_second", "retries")  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    """What an agent says in mid-copy."""
    return {
        "schema": 1,
        "run_id": "run1",
        "database": "core_nt",
        "node": "node0",
        "generation": "a1b2c3d4e5f60718",
        "mode": "warm",
        "engine": "ranged",
        "phase": "copying",
        "files_done": 3,
        "files_total": 26,
        "bytes_done": 50,
        "bytes_total": 100,
        "bytes_fetched": 50,
        "files_fetched": 3,
        "bytes_per_second": 5,
        "eta_seconds": 10,
        "retries": 0,
        "disk_bytes_per_second": None,
        "seconds": 1.234,
        "digest": None,
        "updated_at": "2026-05-01T12:00:00Z",
        "error": None,
    } | changes


def read(**changes: Any) -> AgentReport:
    report = parse_report(json.dumps(document(**changes)))
    assert report is not None
    return report


def test_a_report_is_read_as_it_was_written() -> None:
    report = read()

    assert (report.run_id, report.generation, report.phase) == ("run1", "a1b2c3d4e5f60718", "copying")
    assert tuple(getattr(report, key) for key in COUNTS) == (3, 26, 50, 100, 50, 3, 5, 0)
    assert (report.eta_seconds, report.seconds, report.digest, report.error) == (10, 1.23, None, None)


def test_an_error_comes_with_its_remedy() -> None:
    report = read(error={"kind": "disk_full", "message": "3 GB short", "remedy": "free it"})

    assert (report.error, report.message, report.remedy) == (Kind.DISK_FULL, "3 GB short", "free it")


@pytest.mark.parametrize("kind", ["out_of_cheese", None, 7, ["disk_full"], ""])
def test_an_error_of_no_known_kind_is_still_an_error(kind: object) -> None:
    assert read(error={"kind": kind, "message": "?"}).error is Kind.INTERNAL


@pytest.mark.parametrize("error", ["disk_full", 7, [], ["disk_full"], True, {}])
def test_what_is_no_error_object_is_no_error(error: object) -> None:
    assert read(error=error).error is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Killed",
        "null",
        "[]",
        "7",
        '"report"',
        "{",
        "{}",
        '{"schema":2}',
        '{"schema":"1"}',
        "[" * 4_000,
        '{"a":' * 800,
        "9" * 4_090,
        "\x00",
        '{"schema":1' + " " * MAX_REPORT_BYTES + "}",
    ],
)
def test_what_is_no_report_is_none(text: str) -> None:
    assert parse_report(text) is None


def test_the_bare_minimum_is_a_report_that_says_nothing() -> None:
    report = parse_report('{"schema":1}')

    assert report is not None
    assert (report.run_id, report.phase, report.bytes_done, report.error) == ("", "", 0, None)


@pytest.mark.parametrize("key", COUNTS)
@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "-1",
        "true",
        '"7"',
        "null",
        "[7]",
        "{}",
        "1e400",
        "1e300",
        "2305843009213693952",
    ],
)
def test_a_count_that_is_none_is_zero(key: str, value: str) -> None:
    text = json.dumps(document(**{key: "HERE"})).replace('"HERE"', value)
    report = parse_report(text)

    assert report is not None
    assert getattr(report, key) == 0


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "true", '"soon"', "[]"])
def test_a_time_left_that_is_none_is_unknown_not_over(value: str) -> None:
    text = json.dumps(document(eta_seconds="HERE")).replace('"HERE"', value)
    report = parse_report(text)

    assert report is not None
    assert report.eta_seconds is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, True, "9", None])
def test_seconds_that_are_none_are_zero(value: object) -> None:
    assert read(seconds=value).seconds == 0.0


@pytest.mark.parametrize("value", ["", "AB" * 16, "zz" * 16, "ab" * 80, "ab\n" * 8, 7, None, ["ab" * 16]])
def test_a_digest_is_lower_case_hexadecimal_or_nothing(value: object) -> None:
    assert read(digest=value).digest is None


def test_control_characters_and_endless_texts_do_not_get_through() -> None:
    report = read(phase="ready\x1b[31m\n", error={"kind": "internal", "message": "a\x00b" + "c" * 900})

    assert report.phase == "ready [31m "
    assert report.message == "a b" + "c" * 397


def test_half_a_surrogate_does_not_get_through() -> None:
    report = parse_report('{"schema":1,"run_id":"\\ud800x"}')

    assert report is not None
    assert report.run_id.encode("utf-16-le")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(document())), JSON))
def test_no_document_breaks_the_reading(changes: dict[str, Any]) -> None:
    report = parse_report(json.dumps(document() | changes | {"schema": 1}))

    assert report is None or all(getattr(report, key) >= 0 for key in COUNTS)


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    parse_report(text)
    last_report(text)


def line(**changes: Any) -> str:
    return json.dumps({"report": document(**changes)}, separators=(",", ":"))


def test_the_last_report_of_a_log_counts() -> None:
    log = f"starting\n{line(bytes_done=1)}\n{line(bytes_done=2)}\n12:00:00 fetching core_nt.00.nsq\n"

    report = last_report(log)

    assert report is not None
    assert report.bytes_done == 2


def test_a_line_cut_in_half_is_passed_over() -> None:
    report = last_report(f"{line(bytes_done=1)}\n{line(bytes_done=2)[:-9]}")

    assert report is not None
    assert report.bytes_done == 1


@pytest.mark.parametrize(
    "log", ["", "\n\n", "no report here", '{"report":}', '{"report":7}', 'x {"report":{}}']
)
def test_a_log_without_reports_has_none(log: str) -> None:
    assert last_report(log) is None
