"""Who may do what to which cluster and account."""

import base64
import json
from typing import Any

import pytest
from testkit.builders import CLUSTER, SUBSCRIPTION

from shared.domain.callers import Caller, Permissions, Stranger, parse_principal

ANYBODY = Caller(object_id="oid")
READER = Caller(object_id="oid", roles=frozenset({"Reader"}))
OPERATOR = Caller(object_id="oid", roles=frozenset({"Operator"}))


def permissions(**changes: Any) -> Permissions:
    plain = {"reader_role": "Reader", "operator_role": "Operator"}
    nothing: dict[str, Any] = {"clusters": (), "accounts": (), "registries": ()}
    return Permissions(**(plain | nothing | changes))


def test_roles_that_nobody_set_are_asked_of_nobody() -> None:
    free = permissions(reader_role=None, operator_role=None)

    assert free.may_read(ANYBODY)
    assert free.may_operate(ANYBODY)


@pytest.mark.parametrize(
    ("caller", "reads", "operates"), [(ANYBODY, False, False), (READER, True, False), (OPERATOR, True, True)]
)
def test_who_may_operate_may_look_and_not_the_other_way_round(
    caller: Caller, *, reads: bool, operates: bool
) -> None:
    assert (permissions().may_read(caller), permissions().may_operate(caller)) == (reads, operates)


def test_a_role_is_spelt_exactly() -> None:
    assert not permissions().may_operate(Caller(object_id="oid", roles=frozenset({"operator", "Operators"})))


def test_what_is_on_no_list_is_nobodys_business() -> None:
    assert not permissions().covers_cluster(CLUSTER)
    assert not permissions().covers_account("blastdata")


@pytest.mark.parametrize(
    "entry", ["*", f"{SUBSCRIPTION}/rg-elb/elb-cluster", f"{SUBSCRIPTION}/RG-ELB/ELB-Cluster".upper()]
)
def test_a_listed_cluster_is_covered_in_whatever_case(entry: str) -> None:
    assert permissions(clusters=("s/g/other", entry)).covers_cluster(CLUSTER)


@pytest.mark.parametrize(
    "entry", ["elb-cluster", f"{SUBSCRIPTION}/rg-elb/*", f"{SUBSCRIPTION}/rg-elb/elb-cluster2", ""]
)
def test_a_part_of_a_name_covers_nothing(entry: str) -> None:
    assert not permissions(clusters=(entry,)).covers_cluster(CLUSTER)


def test_accounts_have_a_list_of_their_own() -> None:
    listed = permissions(accounts=("BlastData",), clusters=("*",))

    assert listed.covers_account("blastdata")
    assert not listed.covers_account("blastdata2")


@pytest.mark.parametrize(
    ("image", "covered"),
    [
        ("elbacr.azurecr.io/ncbi/elb:1.4.0", True),
        ("elbacr.azurecr.io.evil.example/ncbi/elb:1.4.0", False),
        ("evil.azurecr.io/elbacr.azurecr.io/elb:1.4.0", False),
        ("elbacr.azurecr.io", True),
        ("", False),
    ],
)
def test_an_image_is_judged_by_its_registry(image: str, *, covered: bool) -> None:
    assert permissions(registries=("ElbAcr.azurecr.io",)).covers_image(image) is covered
    assert not permissions().covers_image(image)


def principal(**changes: Any) -> str:
    """What App Service says of somebody it let in."""
    claims = [
        {"typ": "http://schemas.microsoft.com/identity/claims/objectidentifier", "val": "oid"},
        {"typ": "roles", "val": "Reader"},
        {"typ": "name", "val": "Grace Hopper"},
    ]
    told = {"auth_typ": "aad", "claims": claims} | changes
    return base64.b64encode(json.dumps(told).encode()).decode()


def test_a_principal_is_read_down_to_object_id_and_roles() -> None:
    assert parse_principal(principal()) == READER


@pytest.mark.parametrize(
    "header",
    [
        "no base64!",
        base64.b64encode(b"no json").decode(),
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b"[" * 20_000).decode(),
        principal(auth_typ="google"),
        principal(claims=[]),
        principal(claims="all"),
        principal(claims=[7, {"typ": "oid"}, {"typ": "oid", "val": ""}]),
        "\u00e9",
    ],
)
def test_a_principal_that_names_nobody_of_the_tenant_is_a_stranger(header: str) -> None:
    assert isinstance(parse_principal(header), Stranger)
