"""What each unwelcome answer of the account stands for."""

from __future__ import annotations

import pytest

from agent.blobs import refusal
from agent.errors import AgentError, MayPass


@pytest.mark.parametrize(
    ("status", "code", "kind", "may_pass"),
    [
        (403, "AuthorizationFailure", "storage_closed", True),
        (403, "AuthorizationPermissionMismatch", "access_denied", True),
        (403, "AuthenticationFailed", "access_denied", False),
        (401, "InvalidAuthenticationInfo", "access_denied", False),
        (404, "BlobNotFound", "not_found", False),
        (409, "BlobArchived", "not_found", False),
        (412, "ConditionNotMet", "changed", False),
        (416, "InvalidRange", "changed", False),
        (429, "", "throttled", True),
        (503, "ServerBusy", "throttled", True),
        (500, "InternalError", "network", True),
        (500, "OperationTimedOut", "throttled", True),
        (408, "", "network", True),
        (302, "", "access_denied", False),
        (418, "", "access_denied", False),
    ],
)
def test_an_answer_stands_for_a_cause(status: int, code: str, kind: str, may_pass: bool) -> None:  # noqa: FBT001 - a table
    error = refusal("nt/nt.nsq", status, {"x-ms-error-code": code}, "")

    assert (error.kind, isinstance(error, MayPass)) == (kind, may_pass)
    assert "nt/nt.nsq" in str(error)


def test_the_code_is_found_in_the_body_when_no_header_has_it() -> None:
    body = "<?xml version='1.0'?><Error><Code>AuthorizationFailure</Code></Error>"

    assert refusal("b", 403, {}, body).kind == "storage_closed"


@pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("9999", 60), ("soon", None), ("", None)])
def test_retry_after_is_read_and_bounded(value: str, seconds: float | None) -> None:
    error = refusal("b", 503, {"Retry-After": value}, "")

    assert isinstance(error, MayPass)
    assert error.retry_after_seconds == seconds


def every_error(base: type[AgentError] = AgentError) -> list[type[AgentError]]:
    return [found for each in base.__subclasses__() for found in (each, *every_error(each))]


def test_every_cause_has_an_exit_code_of_its_own_and_a_remedy() -> None:
    causes = [error for error in every_error() if not error.__subclasses__()]
    codes = [error.exit_code for error in causes]

    assert len(set(codes)) == len(codes)
    assert all(error.remedy for error in causes)
    assert not {0, 2} & set(codes)
