"""Mutating webhooks: a program outside the cluster that may change what is created, asked over TLS.

Asked for new objects only, with the object as it was sent. What it answers is taken as a stranger's: it may
refuse, or patch; anything else is a failure, and its `failurePolicy` says what that means.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import urllib.error
import urllib.request
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from local.cluster.failures import ApiError
from local.cluster.objects import Json, labels_of
from local.cluster.patching import json_patch
from local.cluster.resources import MUTATING_WEBHOOKS, NAMESPACES
from local.cluster.selectors import selects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cluster.resources import Kind
    from local.cluster.store import Store
    from local.cluster.writing import Place

ANY = "*"


class WebhookFailedError(Exception):
    """The webhook gave no answer that can be used."""


async def mutated(store: Store, place: Place, body: Any) -> Any:
    """What is to be created after every webhook that it concerns; raises the refusal of one."""
    if not isinstance(body, dict) or place.kind == MUTATING_WEBHOOKS:
        return body  # no webhook may stand between an operator and the webhooks
    for webhook in _webhooks(store, place, body):
        body = await _changed_by(webhook, place, body)
    return body


def _webhooks(store: Store, place: Place, body: Json) -> Iterator[Json]:
    namespace = store.find(NAMESPACES, "", place.namespace) or {}
    for configuration in store.list(MUTATING_WEBHOOKS):
        for webhook in configuration.get("webhooks") or []:
            if (
                any(_concerns(rule, place.kind) for rule in webhook.get("rules") or [])
                and selects(webhook["namespaceSelector"], labels_of(namespace))
                and selects(webhook["objectSelector"], labels_of(body))
            ):
                yield webhook


def _concerns(rule: Json, kind: Kind) -> bool:
    asked = {
        "operations": "CREATE",
        "apiGroups": kind.group,
        "apiVersions": kind.version,
        "resources": kind.plural,
    }
    return all({ANY, value} & set(rule.get(key) or []) for key, value in asked.items())


async def _changed_by(webhook: Json, place: Place, body: Json) -> Json:
    try:
        response = await asyncio.to_thread(_ask, webhook, _review(place, body))
        if response.get("allowed") is not True:
            raise _denied(webhook["name"], response.get("status") or {})
        if "patch" not in response:
            return body
        return json_patch(body, json.loads(base64.b64decode(response["patch"])))
    except (WebhookFailedError, ValueError, TypeError, AttributeError) as error:
        if webhook["failurePolicy"] == "Ignore":
            return body
        message = f'Internal error occurred: failed calling webhook "{webhook["name"]}": {error}'
        raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", message) from error


def _review(place: Place, body: Json) -> Json:
    kind = place.kind
    metadata = body.get("metadata") or {}
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": str(uuid.uuid4()),
            "kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
            "resource": {"group": kind.group, "version": kind.version, "resource": kind.plural},
            "name": metadata.get("name", ""),
            "namespace": place.namespace,
            "operation": "CREATE",
            "object": {"kind": kind.kind, "apiVersion": kind.api_version, **body},
            "oldObject": None,
            "dryRun": place.dry_run,
        },
    }


def _ask(webhook: Json, review: Json) -> Json:
    config = webhook["clientConfig"]
    url = f"{config['url']}?timeout={webhook['timeoutSeconds']}s"
    request = urllib.request.Request(  # noqa: S310 - https only, by the rules of webhook configurations
        url, data=json.dumps(review).encode(), headers={"Content-Type": "application/json"}
    )
    bundle = config.get("caBundle")
    try:
        trust = ssl.create_default_context(cadata=base64.b64decode(bundle).decode() if bundle else None)
        with urllib.request.urlopen(request, timeout=webhook["timeoutSeconds"], context=trust) as answer:  # noqa: S310 - as above
            response: Json = json.loads(answer.read())["response"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise WebhookFailedError(f'failed to call webhook: Post "{url}": {reason}') from error
    if response["uid"] != review["request"]["uid"]:
        raise WebhookFailedError("expected response.uid to be the request's")
    return response


def _denied(name: str, status: Json) -> ApiError:
    """As the real server makes a refusal out of the webhook's own status."""
    told = status.get("message") or status.get("reason")
    message = f'admission webhook "{name}" denied the request' + (
        f": {told}" if told else " without explanation"
    )
    code = max(int(status.get("code") or 0), HTTPStatus.BAD_REQUEST)
    return ApiError(code, str(status.get("reason") or ""), message)
