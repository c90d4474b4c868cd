"""What SDKs raise, told in two classes."""

import pytest
import urllib3
from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError
from kubernetes.client.exceptions import ApiException

from shared.adapters.errors import MAX_FOREIGN_TEXT, Fault, RefusedError, UnansweredError, calling, fault_of
from shared.domain.refusals import Reason, Refusal
from shared.ports import PassingError


def refuse(fault: Fault) -> Refusal:
    return Refusal(reason=Reason.NOT_ALLOWED, message=str(fault), remedy="ask")


def http(status: int, body: object = None, reason: str = "") -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body = body
    return error


def raised(error: Exception) -> Exception:
    with pytest.raises(Exception) as caught, calling("reading c1", refuse):  # noqa: PT011 - which one is the question
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize("status", [408, 409, 412, 425, 429, 500, 502, 503, 504])
def test_a_service_that_is_busy_may_pass(status: int) -> None:
    error = raised(http(status))

    assert isinstance(error, PassingError)
    assert not isinstance(error, UnansweredError)
    assert str(error).startswith("reading c1 failed for now (")


@pytest.mark.parametrize(
    "error",
    [
        ServiceRequestError("no route"),
        urllib3.exceptions.HTTPError("reset"),
        AzureError("no token"),
        http(0, reason="SSLError\ncertificate"),
    ],
)
def test_silence_may_pass_and_is_told_apart(error: Exception) -> None:
    assert isinstance(raised(error), UnansweredError)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_any_other_answer_is_final_and_carries_its_refusal(status: int) -> None:
    error = raised(http(status))

    assert isinstance(error, RefusedError)
    assert error.refusal.reason is Reason.NOT_ALLOWED


def test_a_status_object_is_read_for_its_reason_and_message() -> None:
    body = '{"kind": "Status", "reason": "Forbidden", "message": "pods is forbidden"}'

    assert fault_of(http(403, body)) == Fault(status=403, code="Forbidden", message="pods is forbidden")
    assert fault_of(http(403, body.encode())).code == "Forbidden"


@pytest.mark.parametrize("body", ["<html>blocked</html>", "[1]", '{"message": ', "\x00", None, b"\xff"])
def test_any_other_body_breaks_nothing(body: object) -> None:
    assert fault_of(http(403, body, "Forbidden")).status == 403


def test_foreign_text_is_cut_and_holds_no_secret() -> None:
    fault = fault_of(http(500, "x?sig=c2VjcmV0 " + "y" * 10_000))

    assert len(fault.message) == MAX_FOREIGN_TEXT
    assert "c2VjcmV0" not in fault.message


def test_an_azure_error_tells_its_code() -> None:
    error = HttpResponseError("(AuthorizationFailed) no")
    error.status_code, error.reason = 403, "Forbidden"

    assert fault_of(error).status == 403


def test_what_is_no_fault_of_an_sdk_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), calling("counting", refuse):
        raise ZeroDivisionError
