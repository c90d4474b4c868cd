"""The verbs of a story, where they turn what an engine says into words."""

import pytest

from orchestrators.steps import _cause_of

DOTNET = ' \n {"ClassName":"System.Exception","StackTrace":"at Microsoft.Azure"}'


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("PassingError: account 'x' did not answer", "account 'x' did not answer"),
        ("ValueError: the proxy said Error: 403", "the proxy said Error: 403"),
        ("ApiException: (503) Service Unavailable", "(503) Service Unavailable"),
        (
            "GET https://x ended with Error: 403 after 4 tries",
            "GET https://x ended with Error: 403 after 4 tries",
        ),
        ("PassingError: it 'a' failed: b", "it 'a' failed: b"),
        ("PassingError: " + "x" * 9_000, "x" * 400),
    ],
)
def test_a_failure_is_told_by_its_own_sentence_alone(raised: str, told: str) -> None:
    assert _cause_of(Exception(f"Activity function 'open_access' failed: {raised}{DOTNET}")) == told


@pytest.mark.parametrize("text", ["the host went away", "Function 'x' timed out"])
def test_a_failure_of_another_form_is_told_as_it_is(text: str) -> None:
    assert _cause_of(Exception(text)) == text
