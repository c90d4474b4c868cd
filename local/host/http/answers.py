"""Bodies and headers in the real extension's shapes."""

import json
from collections.abc import Mapping

from starlette.responses import Response

from local.host.protocol import texts

_JSON = "application/json; charset=utf-8"
_WENT_WRONG = "Something went wrong while processing your request"


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer compact JSON, as .NET writes it."""
    response = Response(texts.compact(body), status, dict(headers or {}))
    response.headers["content-type"] = _JSON
    return response


def empty(status: int) -> Response:
    """Answer a bare status: no body, no content type."""
    return Response(status_code=status)


def refusal(status: int, message: str) -> Response:
    """Answer a refusal that names no exception."""
    return json_answer({"Message": message}, status)


def exception(status: int, message: str, text: str, type_name: str) -> Response:
    """Answer a .NET exception; the stack trace is a string, here an empty one."""
    return json_answer(
        {"Message": message, "ExceptionMessage": text, "ExceptionType": type_name, "StackTrace": ""}, status
    )


def invalid_operation(text: str) -> Response:
    """Answer the exception of an operation in the wrong state."""
    return exception(500, _WENT_WRONG, text, "System.InvalidOperationException")


def invalid_json(error: json.JSONDecodeError) -> Response:
    """Answer to a body that is not JSON."""
    return exception(400, "Invalid JSON content", str(error), "Newtonsoft.Json.JsonReaderException")


def truncated_json(error: json.JSONDecodeError) -> Response:
    """Answer to a start whose body breaks off."""
    return exception(500, _WENT_WRONG, str(error), "Newtonsoft.Json.JsonSerializationException")
