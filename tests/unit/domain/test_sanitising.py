"""Foreign text, made fit to be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.sanitising import MAX_CHARACTERS, MAX_LINES, last_lines, sanitise

JWT = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJvaWQiOiIxMjMifQ.c2lnbmF0dXJl-_x"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {JWT}",
        f"token {JWT} was sent",
        JWT[:40],
        "https://a.blob.core.windows.net/c/b?sv=2024-01-01&sig=c2VjcmV0c2VjcmV0%3D&se=2026",
        "https://a.blob.core.windows.net/c/b?sig=c2VjcmV0c2VjcmV0",
        "AccountKey=c2VjcmV0c2VjcmV0c2VjcmV0==;EndpointSuffix=core.windows.net",
        '{"access_token": "c2VjcmV0c2VjcmV0", "expires_in": 1}',
        '{"X-IDENTITY-HEADER": "c2VjcmV0c2VjcmV0"}',
        "password: c2VjcmV0c2VjcmV0",
        "SharedKey account:c2VjcmV0c2VjcmV0=",
    ],
)
def test_what_opens_a_door_is_masked(text: str) -> None:
    shown = sanitise(text)

    assert "***" in shown
    assert "c2VjcmV0c2VjcmV0" not in shown
    assert "eyJhbGci" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "ACGT" * 40,
        "/workspace/blast/.warmup/core_nt/staging/core_nt.00.nsq",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        'core_nt/core_nt.87.nsq etag "0x8DC1234567890AB" md5 1B2M2Y8AsgTpgAmY7PhCfg==',
        "exit code=137, 3 of 26 files, 40 %",
        "subscription 11111111-2222-3333-4444-555555555555",
        "waiting for a token of the kubelet identity",
    ],
)
def test_what_helps_to_understand_stays(text: str) -> None:
    assert sanitise(text) == text


def test_terminal_codes_and_control_characters_are_gone() -> None:
    coloured = "\x1b[1;31mfailed\x1b[0m\x1b]0;title\x07 at\x00 40 %\r50 %\r\nnext\u202eline\u200b"

    assert sanitise(coloured) == "failed at 40 %\n50 %\nnextline"


@given(st.text())
def test_no_text_breaks_it_and_nothing_invisible_stays(text: str) -> None:
    shown = sanitise(text)

    assert not any(ord(char) < 32 and char not in "\t\n" for char in shown)
    assert sanitise(shown) == shown


def test_a_secret_that_the_cut_would_halve_is_masked_first() -> None:
    line = "x" * 380 + " sig=" + "s" * 400

    assert last_lines(line) == ("x" * 380 + " sig=***",)


def test_only_the_end_of_a_long_log_is_shown() -> None:
    lines = last_lines("\n".join(f"line {number}" for number in range(1_000)))

    assert len(lines) == MAX_LINES
    assert lines[-1] == "line 999"


def test_long_lines_are_cut_and_their_sum_is_bounded() -> None:
    lines = last_lines("\n".join("y" * 5_000 for _ in range(30)))

    assert sum(map(len, lines)) <= MAX_CHARACTERS
    assert lines


def test_reports_for_machines_are_no_lines_for_people() -> None:
    assert last_lines('copying\n{"report": {"schema": 1}}\n') == ("copying",)
