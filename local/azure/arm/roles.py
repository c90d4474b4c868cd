"""Microsoft.Authorization: role assignments on any scope."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from local.azure.admission import CONTRIBUTOR, OWNER, READER
from local.azure.arm.envelope import ArmError, Call
from local.azure.arm.finding import require_app
from local.azure.world import Assignment

if TYPE_CHECKING:
    from collections.abc import Callable

ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
ACR_REPOSITORY_READER = "b93aa761-3e63-49ed-ac28-beffa264f7ac"

KNOWN_ROLES = frozenset({READER, CONTRIBUTOR, OWNER, ACR_PULL, ACR_REPOSITORY_READER})

ACTION = "Microsoft.Authorization/roleAssignments"


def list_assignments(call: Call) -> Response:
    """GET {scope}/…/roleAssignments: on the scope, above and below it, narrowed by `$filter`."""
    scope = _scope(call)
    require_app(call, f"{ACTION}/read", scope)
    wanted = _filter(call.query.get("$filter", ""), scope)
    return JSONResponse({"value": [_shown(each) for each in call.world.assignments() if wanted(each)]})


def get_assignment(call: Call) -> Response:
    """GET {scope}/…/roleAssignments/{name}."""
    scope = _scope(call)
    require_app(call, f"{ACTION}/read", scope)
    found = call.world.assignment(_id(call))
    if found is None:
        name = call.path["name"]
        raise ArmError(404, "RoleAssignmentNotFound", f"The role assignment '{name}' is not found.")
    return JSONResponse(_shown(found))


def put_assignment(call: Call) -> Response:
    """PUT {scope}/…/roleAssignments/{name}: 409 when the same role was given under another name."""
    scope = _scope(call)
    require_app(call, f"{ACTION}/write", scope, allowed=call.world.behaviour.may_grant_roles)
    wanted = _wanted(call, scope)
    there = call.world.assignment(wanted.id)
    if there is not None:
        return JSONResponse(_shown(_unchanged(there, wanted)))
    if any(_gives_the_same(each, wanted) for each in call.world.assignments()):
        raise ArmError(409, "RoleAssignmentExists", "The role assignment already exists.")
    call.world.grant(wanted)
    return JSONResponse(_shown(wanted), 201)


def delete_assignment(call: Call) -> Response:
    """DELETE {scope}/…/roleAssignments/{name}: 204 when there was none."""
    require_app(call, f"{ACTION}/delete", _scope(call), allowed=call.world.behaviour.may_grant_roles)
    gone = call.world.revoke(_id(call))
    return JSONResponse(_shown(gone)) if gone else Response(status_code=204)


def _scope(call: Call) -> str:
    scope = "/" + call.path["scope"].strip("/")
    resources = call.world.settings.resources
    # A scope is a resource, something in it, or what contains it.
    if any(_contains(each.id, scope) or _contains(scope, each.id) for each in resources):
        return scope
    raise ArmError(404, "ResourceNotFound", f"The resource '{scope}' was not found.")


def _contains(outer: str, inner: str) -> bool:
    return f"{inner}/".lower().startswith(f"{outer}/".lower())


def _id(call: Call) -> str:
    return f"{_scope(call)}/providers/{ACTION}/{call.path['name']}"


def _wanted(call: Call, scope: str) -> Assignment:
    properties = call.properties
    try:
        principal, definition = properties["principalId"], properties["roleDefinitionId"]
    except KeyError as missing:
        raise ArmError(400, "InvalidRequestContent", f"The assignment lacks {missing}.") from missing
    now = time.time()
    wanted = Assignment(
        name=call.path["name"],
        scope=scope,
        principal_id=principal,
        principal_type=properties.get("principalType", "User"),
        role_definition_id=definition,
        created_at=now,
        acts_at=now + call.world.behaviour.role_delay_seconds,
    )
    settings = call.world.settings
    if principal not in (settings.app.object_id, settings.kubelet.object_id):
        message = f"Principal {principal} does not exist in the directory {settings.tenant_id}."
        raise ArmError(400, "PrincipalNotFound", message)
    if wanted.role_id not in KNOWN_ROLES:
        message = f"The specified role definition with ID '{wanted.role_id}' does not exist."
        raise ArmError(400, "RoleDefinitionDoesNotExist", message)
    return wanted


def _gives_the_same(one: Assignment, other: Assignment) -> bool:
    return (one.scope.lower(), one.principal_id, one.role_id) == (
        other.scope.lower(),
        other.principal_id,
        other.role_id,
    )


def _unchanged(there: Assignment, wanted: Assignment) -> Assignment:
    if _gives_the_same(there, wanted):
        return there
    message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
    raise ArmError(400, "RoleAssignmentUpdateNotPermitted", message)


def _filter(text: str, scope: str) -> Callable[[Assignment], bool]:
    if not text:
        return lambda each: _contains(each.scope, scope) or _contains(scope, each.scope)
    if text == "atScope()":
        return lambda each: _contains(each.scope, scope)
    match = re.fullmatch(r"(?:atScope\(\) and )?(?:principalId eq|assignedTo\() ?'([^']+)'\)?", text)
    if match is None:
        raise ArmError(400, "InvalidFilter", f"The filter {text!r} is not served here.")
    principal = match[1]
    related = _filter("atScope()" if text.startswith("atScope()") else "", scope)
    return lambda each: each.principal_id == principal and related(each)


def _shown(assignment: Assignment) -> dict[str, Any]:
    made = datetime.fromtimestamp(assignment.created_at, UTC).isoformat()
    return {
        "id": assignment.id,
        "name": assignment.name,
        "type": ACTION,
        "properties": {
            "scope": assignment.scope,
            "principalId": assignment.principal_id,
            "principalType": assignment.principal_type,
            "roleDefinitionId": assignment.role_definition_id,
            "createdOn": made,
            "updatedOn": made,
        },
    }
