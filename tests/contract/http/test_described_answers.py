"""Whatever the description allows, or forbids, is answered as it says: no fault, nothing undocumented."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import settings
from schemathesis.specs.openapi.checks import unsupported_method
from testkit.authority import CLIENT, TENANT, Authority, authority
from testkit.doors import Doors, environment, lay_out
from testkit.hosting import Starter

from entrypoints.openapi import description

EXAMPLES = 25  # for each route; more find nothing that these do not
schema = schemathesis.openapi.from_dict(description())


@schema.hook
def filter_body(_context: schemathesis.HookContext, body: object) -> bool:
    """No schema can say that the last parts of paths differ: two folders of one name are refused."""
    for wanted in (body.get("db"), body.get("databases")) if isinstance(body, dict) else ():
        paths = [path for path in wanted if isinstance(path, str)] if isinstance(wanted, list) else []
        if len({path.rstrip("/").rpartition("/")[2] for path in paths}) < len(paths):
            return False
    return True


@schema.hook
def filter_query(context: schemathesis.HookContext, query: dict[str, Any] | None) -> bool:
    """A parameter that no route knows is no fault, and ignored."""
    assert context.operation is not None
    return set(query or ()) <= {parameter.name for parameter in context.operation.query}


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with authority(tmp_path_factory.mktemp("authority")) as served:
        yield served


@pytest.fixture(scope="module")
def guarded(entra: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """An app that asks for tokens, as a deployed one does."""
    folder = tmp_path_factory.mktemp("described")
    told = environment(
        folder,
        AZURE_AUTHORITY_HOST=entra.url,
        AZURE_TENANT_ID=TENANT,
        API_CLIENT_ID=CLIENT,
        CA_BUNDLE_FILE=str(entra.ca),
    )
    starter = Starter(folder)
    yield Doors(starter("--log-level", "error", app=lay_out(folder), env=told), folder)
    starter.end_all()


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
def test_any_request_is_answered_as_described(
    case: schemathesis.Case[Any], guarded: Doors, entra: Authority
) -> None:
    case.call_and_validate(
        base_url=f"{guarded.host.base}/api",
        headers={"Authorization": f"Bearer {entra.token()}"},
        excluded_checks=[unsupported_method],  # the platform's own answer to those is 404
    )
