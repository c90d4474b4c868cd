"""The verbs of a story, where they turn what an engine says into words."""

from typing import cast

import azure.durable_functions as df
import pytest
from testkit import builders as a
from testkit.telling import NOON, Context

from orchestrators.steps import Steps, _cause_of
from shared.domain.phases import Step
from shared.wire import encode

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


def test_a_status_that_says_nothing_new_is_not_written_again() -> None:
    context = Context(encode(a.run()), NOON, "run1", every_try=False)
    steps = Steps(cast("df.DurableOrchestrationContext", context))
    steps.show()
    steps.show()
    assert len(context.statuses) == 1

    steps.begin(Step.ENABLING_STORAGE)
    steps.show()
    assert len(context.statuses) == 2
