"""The mutating webhook that gives pods their identity endpoint, as a webhook does on AKS.

A cluster that is not the stack's own asks it for every pod of a warm-up; the answer adds the variables that
the embedded cluster gives its pods by itself.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

PATH = "/inject"
NODE = "STACK_NODE"
_GROUPS = ("initContainers", "containers")

Json = dict[str, Any]


class Injection:
    """Serves one API server's questions."""

    def __init__(self, *, identity: str, header: str) -> None:
        node = {"name": NODE, "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
        # Kubernetes puts in what an earlier variable of the same container holds.
        endpoint = {"name": "IDENTITY_ENDPOINT", "value": f"{identity}/nodes/$({NODE})/msi/token"}
        self._variables = [node, endpoint, {"name": "IDENTITY_HEADER", "value": header}]

    def app(self) -> Starlette:
        """The webhook's application."""
        return Starlette(routes=[Route(PATH, self._review, methods=["POST"])])

    async def _review(self, request: Request) -> Response:
        try:
            review = await request.json()
            uid, pod = review["request"]["uid"], review["request"]["object"]
            patch = json.dumps(self._patch(pod["spec"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return JSONResponse({"error": f"this takes the AdmissionReview of a pod: {error!r}"}, 400)
        encoded = base64.b64encode(patch.encode()).decode()
        response = {"uid": uid, "allowed": True, "patchType": "JSONPatch", "patch": encoded}
        identity = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        return JSONResponse({**identity, "response": response})

    def _patch(self, spec: Json) -> list[Json]:
        return [
            {"op": "replace", "path": f"/spec/{group}", "value": [self._with(each) for each in spec[group]]}
            for group in _GROUPS
            if spec.get(group)
        ]

    def _with(self, container: Json) -> Json:
        return {**container, "env": [*self._variables, *(container.get("env") or [])]}
