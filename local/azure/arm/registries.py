"""Microsoft.ContainerRegistry: registries, to be found and to be a scope for AcrPull."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from local.azure.arm.envelope import Call
from local.azure.arm.finding import require_app, the_one

KIND = "Microsoft.ContainerRegistry/registries"


def get_registry(call: Call) -> Response:
    """GET registries/{name}."""
    registry = the_one(call, call.world.settings.registries, KIND)
    require_app(call, f"{KIND}/read", registry.id)
    return JSONResponse(
        {
            "id": registry.id,
            "name": registry.name,
            "type": KIND,
            "location": registry.location,
            "sku": {"name": "Basic", "tier": "Basic"},
            "properties": {
                "loginServer": f"{registry.name}.azurecr.io",
                "provisioningState": "Succeeded",
                "roleAssignmentMode": registry.role_assignment_mode,
            },
        }
    )
