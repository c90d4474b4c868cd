"""What the API answers when it refuses: Kubernetes' `Status` objects.

    ApiError          carries the HTTP code and the body; raised anywhere below the HTTP layer, answered there

The functions below word each refusal as the real API server does: clients and people grep for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.cluster.objects import Json
    from local.cluster.resources import Kind

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
"""Why a write over an outdated version fails."""


class ApiError(Exception):
    """A refusal; `code` is the HTTP code, `reason` Kubernetes' word for it."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    @property
    def body(self) -> Json:
        """The `Status` object."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            status["details"] = self.details
        return {**status, "code": self.code}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing wrong with an object's content."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def as_json(self) -> Json:
        """As in `details.causes`."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


def details_of(kind: Kind, name: str) -> Json:
    """`details` that name an object."""
    group = {"group": kind.group} if kind.group else {}
    return {"name": name, **group, "kind": kind.plural}


def not_found(kind: Kind, name: str) -> ApiError:
    """No such object."""
    message = f'{kind.qualified} "{name}" not found'
    return ApiError(HTTPStatus.NOT_FOUND, "NotFound", message, details_of(kind, name))


def already_exists(kind: Kind, name: str) -> ApiError:
    """The name is taken."""
    message = f'{kind.qualified} "{name}" already exists'
    return ApiError(HTTPStatus.CONFLICT, "AlreadyExists", message, details_of(kind, name))


def conflict(kind: Kind, name: str, why: str = MODIFIED) -> ApiError:
    """Written over a version that is no longer the latest, or not to be done as things are."""
    message = f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}'
    return ApiError(HTTPStatus.CONFLICT, "Conflict", message, details_of(kind, name))


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> ApiError:
    """Content that breaks the kind's rules."""
    problems = [f"{cause.field}: {cause.message}" for cause in causes]
    told = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
    group = {"group": kind.group} if kind.group else {}
    details = {"name": name, **group, "kind": kind.kind, "causes": [cause.as_json() for cause in causes]}
    message = f'{kind.qualified_kind} "{name}" is invalid: {told}'
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", message, details)


def bad_request(message: str) -> ApiError:
    """A question that makes no sense."""
    return ApiError(HTTPStatus.BAD_REQUEST, "BadRequest", message)


def expired(message: str) -> ApiError:
    """A resource version or a continue token that is too old: list again."""
    return ApiError(HTTPStatus.GONE, "Expired", message)


def unauthorized() -> ApiError:
    """No token, or one that is nobody's."""
    return ApiError(HTTPStatus.UNAUTHORIZED, "Unauthorized", "Unauthorized")


def forbidden(kind: Kind, name: str, message: str) -> ApiError:
    """The token is somebody's who may not do this, or an admission rule says no."""
    return ApiError(HTTPStatus.FORBIDDEN, "Forbidden", message, details_of(kind, name))


def unknown_path(path: str) -> ApiError:
    """Nothing is served at this path; the real words, and that it is this cluster which lacks it."""
    message = f"the server could not find the requested resource ({path} is not served here)"
    return ApiError(HTTPStatus.NOT_FOUND, "NotFound", message, {})


def method_not_allowed() -> ApiError:
    """The path exists, the method makes no sense there."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message, {})


def internal_error() -> ApiError:
    """A fault of this server; its log has the traceback."""
    message = "Internal error occurred: the cluster's standard error says more"
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", message)


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """A body of a type that this method does not take."""
    message = (
        "the body of the request was in an unknown format - "
        f"accepted media types include: {', '.join(accepted)}"
    )
    return ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
