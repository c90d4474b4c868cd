"""What watches the app asks for what the app logs, and what the app is given is what it asks for."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from shared.adapters.network_refusals import JOIN, OPENER_ROLE
from shared.domain.events import PREFIX, Change, Event
from shared.domain.judging import Outcome

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERT = (DEPLOY / "alert-failed-warmup.bicep").read_text()
WORKBOOK: dict[str, Any] = json.loads((DEPLOY / "workbook.json").read_text())
QUERIES = (DEPLOY / "queries.kql").read_text()
SECTIONS = {
    name: "\n".join(line for line in text.splitlines() if not line.startswith("//")).strip()
    for name, text in re.findall(r"^// ([a-z ]+): .*\n((?:.*\n)*?)(?=^// |\Z)", QUERIES, flags=re.MULTILINE)
}
OPENER: dict[str, Any] = json.loads((DEPLOY / "account-opener-role.json").read_text())
JOINER: dict[str, Any] = json.loads((DEPLOY / "subnet-joiner-role.json").read_text())
FIELDS = {field.name for field in dataclasses.fields(Event)}


def test_who_opens_an_account_may_do_nothing_else_with_it() -> None:
    account = "Microsoft.Storage/storageAccounts"

    assert OPENER["Name"] == OPENER_ROLE
    assert OPENER["Actions"] == [f"{account}/read", f"{account}/write"]
    assert JOINER["Actions"] == [JOIN]
    assert all(role[kind] == [] for role in (OPENER, JOINER) for kind in ("DataActions", "NotActions"))


def test_roles_are_defined_in_the_subscription_that_is_put_in() -> None:
    scopes = [role["AssignableScopes"] for role in (OPENER, JOINER)]

    assert scopes == [["/subscriptions/SUBSCRIPTION_ID"]] * 2
    assert all(role["IsCustom"] for role in (OPENER, JOINER))


def test_each_file_is_named_where_deploying_is_explained() -> None:
    readme = (DEPLOY.parent / "README.md").read_text()

    for file in ("account-opener-role.json", "subnet-joiner-role.json", "cluster-role.yaml"):
        assert f"(deploy/{file})" in readme


def asked_of(query: str) -> set[str]:
    """The fields that a query reads out of an event."""
    return set(re.findall(r"\be\.(\w+)", query))


def test_every_field_that_is_logged_can_be_queried_and_no_other_is_asked_for() -> None:
    assert asked_of(SECTIONS["events"]) == FIELDS
    assert asked_of(ALERT) <= FIELDS


def test_queries_find_the_prefix_and_skip_exactly_it() -> None:
    for text in (QUERIES, ALERT):
        assert f'startswith "{PREFIX}"' in text
        assert set(re.findall(r"substring\(message, (\d+)\)", text)) == {str(len(PREFIX))}


def test_events_and_endings_are_called_as_they_are() -> None:
    named = set(re.findall(r'"([a-z]+_[a-z]+)"', QUERIES + ALERT))

    assert named <= set(Change)
    assert set(re.findall(r'status\)? == "(\w+)"', QUERIES + ALERT)) <= set(Outcome)


def test_the_alert_fires_on_failed_endings() -> None:
    assert f'== "{Change.ENDED}"' in ALERT
    assert f'== "{Outcome.FAILED}"' in ALERT


def test_the_workbook_shows_the_ready_queries() -> None:
    shown = {item["name"]: item["content"].get("query", "") for item in WORKBOOK["items"]}
    events = SECTIONS["events"].partition(";\n")[0]

    assert SECTIONS.keys() <= shown.keys()
    for name, query in SECTIONS.items():
        assert shown[name].startswith(events)
        assert shown[name].endswith(query.rpartition(";\n")[2])
