"""Who passes, over HTTP: tokens of a real authority, roles and allow-lists."""

import base64
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from testkit.authority import CLIENT, SOMEBODY, TENANT, Authority, authority
from testkit.doors import SUBSCRIPTION, Doors, environment, lay_out, smallest
from testkit.hosting import Answer, Starter

READS = f"monitor/aks/warmup-status?subscription_id={SUBSCRIPTION}&resource_group=rg-elb&cluster_name="


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with authority(tmp_path_factory.mktemp("authority")) as served:
        yield served


@pytest.fixture(scope="module")
def guarded(entra: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("guarded")
    told = environment(
        folder,
        AZURE_AUTHORITY_HOST=entra.url,
        AZURE_TENANT_ID=TENANT,
        API_CLIENT_ID=CLIENT,
        CA_BUNDLE_FILE=str(entra.ca),
        AUTH_READER_ROLE="Warmup.Read",
        AUTH_OPERATOR_ROLE="Warmup.Operate",
        ALLOWED_CLUSTERS=f"{SUBSCRIPTION}/RG-ELB/allowed,{SUBSCRIPTION}/rg-elb/other",
        ALLOWED_STORAGE_ACCOUNTS="blastdata",
    )
    starter = Starter(folder)
    yield Doors(starter("--log-level", "error", app=lay_out(folder), env=told), folder)
    starter.end_all()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def start(guarded: Doors, token: str, **changes: object) -> Answer:
    return guarded.post("warmup/start", smallest("allowed") | changes, **bearer(token))


def test_an_operator_may_start_and_is_recorded_by_object_id_only(guarded: Doors, entra: Authority) -> None:
    token = entra.token(roles=["Warmup.Operate"], name="Grace Hopper")

    answer = start(guarded, token, db="blast-db/nt")

    assert answer.status == 202
    stored = guarded.host.ask("GET", f"/instances/{answer.json['id']}?showHistory=true").body.decode()
    assert SOMEBODY in stored
    assert token not in stored
    assert "Grace" not in stored


def test_a_reader_may_look_but_not_start(guarded: Doors, entra: Authority) -> None:
    token = entra.token(roles=["Warmup.Read"])

    assert guarded.get(f"{READS}allowed", **bearer(token)).status == 200
    assert start(guarded, token).status == 403


def test_an_operator_may_look_too(guarded: Doors, entra: Authority) -> None:
    assert guarded.get(f"{READS}other", **bearer(entra.token(roles=["Warmup.Operate"]))).status == 200


def test_a_user_without_a_role_may_do_nothing(guarded: Doors, entra: Authority) -> None:
    assert guarded.get(f"{READS}allowed", **bearer(entra.token())).status == 403


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer __dev_bypass__"])
def test_without_a_token_everything_but_health_is_401(guarded: Doors, header: str) -> None:
    run_id = uuid.uuid4().hex
    headers = {"Authorization": header} if header else {}
    for path in (f"{READS}allowed", f"warmup/{run_id}/status", f"tasks/{run_id}", "warmup/active"):
        answer = guarded.get(path, **headers)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "sign in" in answer.json["error"] or "bearer" in answer.json["error"]
    for path in ("warmup/start", "warmup/release", f"warmup/{run_id}/cancel"):
        assert guarded.post(path, {}, **headers).status == 401
    assert guarded.get("health", **headers).status == 200


def test_a_forged_token_is_401(guarded: Doors, entra: Authority) -> None:
    token = entra.token(aud="somebody-else", roles=["Warmup.Operate"])

    assert start(guarded, token).status == 401


def test_a_cluster_that_is_not_listed_is_403_before_anything_is_asked_of_it(
    guarded: Doors, entra: Authority
) -> None:
    token = entra.token(roles=["Warmup.Operate"])

    for answer in (
        start(guarded, token, aks_cluster_name="secret"),
        guarded.get(f"{READS}secret", **bearer(token)),
    ):
        assert answer.status == 403
        assert "ALLOWED_CLUSTERS" in answer.json["error"]
    assert "secret" not in {act["cluster"] for act in guarded.acts("sighted")}


def test_an_account_that_is_not_listed_is_403(guarded: Doors, entra: Authority) -> None:
    token = entra.token(roles=["Warmup.Operate"])
    query = f"blast/databases?subscription_id={SUBSCRIPTION}&storage_account=payroll"

    for answer in (start(guarded, token, storage_account="payroll"), guarded.get(query, **bearer(token))):
        assert answer.status == 403
        assert "ALLOWED_STORAGE_ACCOUNTS" in answer.json["error"]


def test_an_image_of_a_registry_that_is_not_listed_is_403(guarded: Doors, entra: Authority) -> None:
    answer = start(guarded, entra.token(roles=["Warmup.Operate"]), acr_name="evilregistry")

    assert answer.status == 403
    assert "ALLOWED_REGISTRIES" in answer.json["error"]


def principal(object_id: str, *roles: str) -> dict[str, str]:
    """The header by which App Service says who it let in."""
    claims = [{"typ": "oid", "val": object_id}, *({"typ": "roles", "val": role} for role in roles)]
    told = json.dumps({"auth_typ": "aad", "claims": claims})
    return {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(told.encode()).decode()}


def test_app_services_header_opens_nothing_where_it_is_not_configured(guarded: Doors) -> None:
    assert guarded.get(f"{READS}allowed", **principal(SOMEBODY, "Warmup.Read")).status == 401


def test_app_services_header_is_honoured_where_it_is_configured(tmp_path: Path) -> None:
    starter = Starter(tmp_path)
    told = environment(
        tmp_path,
        AUTH_DEV_BYPASS="false",
        AUTH_APP_SERVICE="true",
        WEBSITE_AUTH_ENABLED="True",
        AUTH_OPERATOR_ROLE="Warmup.Operate",
        AUTH_READER_ROLE="Warmup.Read",
    )
    try:
        behind = Doors(starter("--log-level", "error", app=lay_out(tmp_path), env=told), tmp_path)
        answers = [
            behind.post("warmup/start", smallest("any"), **headers).status
            for headers in (
                principal(SOMEBODY, "Warmup.Operate"),
                principal(SOMEBODY, "Warmup.Read"),
                principal(""),
                {},
                bearer("forged"),
            )
        ]
    finally:
        starter.end_all()

    assert answers == [202, 403, 401, 401, 401]


def test_an_authority_out_of_reach_is_503(tmp_path: Path) -> None:
    with authority(tmp_path / "tls") as gone:
        token = gone.token()
    starter = Starter(tmp_path)
    told = environment(
        tmp_path,
        AZURE_AUTHORITY_HOST=gone.url,
        AZURE_TENANT_ID=TENANT,
        API_CLIENT_ID=CLIENT,
        CA_BUNDLE_FILE=str(gone.ca),
    )
    try:
        lonely = Doors(starter("--log-level", "error", app=lay_out(tmp_path), env=told), tmp_path)
        answer = lonely.get("warmup/active", **bearer(token))
    finally:
        starter.end_all()

    assert answer.status == 503
    assert "Retry-After" in answer.headers
