"""The rules for webhook configurations. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cluster.container_rules import required, unsupported
from local.cluster.failures import Cause
from local.cluster.metadata_rules import bad_value
from local.cluster.placement_rules import selector_causes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cluster.objects import Json

FAILURE_POLICIES = frozenset({"Fail", "Ignore"})
SIDE_EFFECTS = frozenset({"None", "NoneOnDryRun"})
LONGEST_SECONDS = 30


def webhook_causes(item: Json) -> Iterator[Cause]:
    """What is wrong with a webhook configuration."""
    for index, webhook in enumerate(item.get("webhooks") or []):
        yield from _webhook_causes(f"webhooks[{index}]", webhook)


def _webhook_causes(field: str, webhook: Json) -> Iterator[Cause]:
    yield from required(field, webhook, "name", "clientConfig", "sideEffects", "admissionReviewVersions")
    url = (webhook.get("clientConfig") or {}).get("url", "")
    if not url.startswith("https://"):
        why = "'https' is the only allowed URL scheme; format is 'https://host:port/path'"
        yield bad_value(f"{field}.clientConfig.url", url, why)
    if webhook.get("sideEffects", "None") not in SIDE_EFFECTS:
        yield unsupported(f"{field}.sideEffects", webhook["sideEffects"], SIDE_EFFECTS)
    if webhook["failurePolicy"] not in FAILURE_POLICIES:
        yield unsupported(f"{field}.failurePolicy", webhook["failurePolicy"], FAILURE_POLICIES)
    if "v1" not in webhook.get("admissionReviewVersions", ["v1"]):
        why = "must include at least one of v1"
        yield bad_value(f"{field}.admissionReviewVersions", webhook["admissionReviewVersions"], why)
    if not 1 <= webhook["timeoutSeconds"] <= LONGEST_SECONDS:
        why = "the timeout value must be between 1 and 30 seconds"
        yield bad_value(f"{field}.timeoutSeconds", webhook["timeoutSeconds"], why)
    for selector in ("namespaceSelector", "objectSelector"):
        yield from selector_causes(f"{field}.{selector}", webhook[selector])
