"""What a stranger may send to start a warm-up, and what is refused by name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.builders import SUBSCRIPTION

from shared.domain.model import Database, Mode, OnFailure, Registry, WarmupRequest
from shared.domain.requests import (
    BadRequestError,
    RequestDefaults,
    parse_account,
    parse_cluster,
    parse_database,
    parse_release,
    parse_request,
    parse_run_id,
    parse_whole,
)

DEFAULTS = RequestDefaults(
    repository="ncbi/elb:1.4.0",
    registry_suffix="azurecr.io",
    image="mcr.example/elb:1",
    deadline_minutes=None,
)
HOSTILE = [
    "'",
    '"; drop',
    "$(reboot)",
    "`id`",
    "a b",
    "a\nb",
    "..",
    "../x",
    "a/../b",
    "https://evil.example/x",
    "//evil.example/x",
    "a\x00b",
    "c\u043ere_nt",  # a Cyrillic o
    "\uff43ore_nt",  # a full-width c
    "core_nt\n",
    "\u202ecore_nt",
    "a" * 200,
    "{{x}}",
    "a;b",
    "a|b",
    "%2e%2e",
]
FIELDS = ["subscription_id", "resource_group", "storage_account", "storage_resource_group",
          "aks_cluster_name", "cluster_name", "acr_name", "acr_resource_group"]  # fmt: skip


def body(**changes: Any) -> dict[str, Any]:
    """The dashboard's smallest body."""
    return {
        "subscription_id": SUBSCRIPTION,
        "resource_group": "rg-elb",
        "storage_account": "blastdata",
        "db": "blast-db/core_nt",
        "db_display_name": "core_nt",
        "aks_cluster_name": "elb-cluster",
    } | changes


def parse(given_body: object, defaults: RequestDefaults = DEFAULTS) -> WarmupRequest:
    return parse_request(given_body, defaults=defaults, requested_by="user-oid")


def test_the_dashboards_smallest_body_is_enough() -> None:
    request = parse(body())

    assert request.databases == (Database(name="core_nt", folder="core_nt"),)
    assert (request.cluster.name, request.account_name) == ("elb-cluster", "blastdata")
    assert (request.mode, request.dry_run, request.allow_partial) == (Mode.WARM, False, False)
    assert (request.account_resource_group, request.registry, request.max_mbps_per_node) == (None, None, None)
    assert (request.image, request.requested_by) == ("mcr.example/elb:1", "user-oid")


def test_unknown_and_terminal_fields_are_ignored_and_never_stored() -> None:
    request = parse(body(terminal_vm_password="marked-secret", token="marked-secret", num_nodes="ten"))

    assert request == parse(body())
    assert "marked-secret" not in repr(request)


@pytest.mark.parametrize("key", ["subscription_id", "resource_group", "storage_account", "aks_cluster_name"])
@pytest.mark.parametrize("absent", [None, "", "left out"])
def test_a_required_field_that_is_missing_is_named(key: str, absent: str | None) -> None:
    given_body = body(**{key: absent})
    if absent == "left out":
        del given_body[key]

    with pytest.raises(BadRequestError, match=key):
        parse(given_body)


@pytest.mark.parametrize("key", FIELDS)
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_name_is_refused_by_field_and_not_repeated(key: str, value: str) -> None:
    given_body = body(**{key: value})
    if key == "acr_resource_group":
        given_body["acr_name"] = "elbacr"
    if key == "cluster_name":
        del given_body["aks_cluster_name"]

    with pytest.raises(BadRequestError, match=f"^{key} ") as refused:
        parse(given_body)
    assert value not in str(refused.value).removeprefix(key) or len(value) < len("../x")


@pytest.mark.parametrize("key", FIELDS)
@pytest.mark.parametrize("value", [7, 1.5, True, ["a"], {"a": 1}, [[]]])
def test_a_name_of_the_wrong_type_is_refused(key: str, value: object) -> None:
    given_body = body(acr_name="elbacr") | {key: value}
    if key == "cluster_name":
        del given_body["aks_cluster_name"]

    with pytest.raises(BadRequestError, match=f"^{key} "):
        parse(given_body)


@pytest.mark.parametrize("value", [None, [], "text", 7, [body()]])
def test_a_body_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(BadRequestError, match="JSON object"):
        parse(value)


@pytest.mark.parametrize(
    ("key", "longest"),
    [("resource_group", 90), ("storage_account", 24), ("aks_cluster_name", 63), ("acr_name", 50)],
)
def test_a_name_may_be_as_long_as_azure_allows_and_no_longer(key: str, longest: int) -> None:
    parse(body(**{key: "a" * longest}))

    with pytest.raises(BadRequestError, match=key):
        parse(body(**{key: "a" * (longest + 1)}))


@pytest.mark.parametrize("name", ["a", "A-b_c9", "9", "elb-cluster_01"])
def test_every_cluster_name_that_aks_takes_is_taken(name: str) -> None:
    assert parse(body(aks_cluster_name=name)).cluster.name == name


@pytest.mark.parametrize("name", ["-a", "a-", "_a", "a.b"])
def test_a_cluster_name_that_aks_refuses_is_refused(name: str) -> None:
    with pytest.raises(BadRequestError, match="aks_cluster_name"):
        parse(body(aks_cluster_name=name))


@pytest.mark.parametrize("name", ["rg.", "rg/x", "r g"])
def test_a_resource_group_follows_azures_rule(name: str) -> None:
    with pytest.raises(BadRequestError, match="resource_group"):
        parse(body(resource_group=name))


def test_the_older_name_of_the_cluster_field_counts_too() -> None:
    given_body = body(cluster_name="older", aks_cluster_name="")

    assert parse(given_body).cluster.name == "older"


def test_a_subscription_is_the_same_in_any_case() -> None:
    shouted = body(subscription_id="ABCDEF00-2222-3333-4444-555555555555")

    assert parse(shouted).cluster.subscription_id == "abcdef00-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("text", "name", "folder"),
    [
        ("core_nt", "core_nt", "core_nt"),
        ("blast-db/core_nt", "core_nt", "core_nt"),
        ("blast-db/core_nt/", "core_nt", "core_nt"),
        ("nt/nt_euk", "nt_euk", "nt"),
        ("blast-db/nt/nt_euk", "nt_euk", "nt"),
        ("custom_db/mine", "mine", "custom_db/mine"),
        ("blast-db/custom_db/mine", "mine", "custom_db/mine"),
        ("16S_ribosomal_RNA", "16S_ribosomal_RNA", "16S_ribosomal_RNA"),
    ],
)
def test_a_database_is_a_name_or_a_path_in_the_container(text: str, name: str, folder: str) -> None:
    assert parse_database(text) == Database(name=name, folder=folder)


@pytest.mark.parametrize(
    "text", [*HOSTILE, "", "/", "/core_nt", "blast-db/", "a/b/c/d", ".hidden", "a//b", "-x"]
)
def test_a_database_that_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="db "):
        parse_database(text)


@pytest.mark.parametrize("text", ["core_nt.00", "core_nt/core_nt.87", "nt.123"])
def test_a_volume_is_not_taken_for_a_database(text: str) -> None:
    """Its files are another database's, and releasing it would take them away."""
    with pytest.raises(BadRequestError, match="volume"):
        parse_database(text)


@given(st.text(max_size=40))
def test_no_text_becomes_a_name_that_could_leave_its_folder(text: str) -> None:
    try:
        database = parse_database(text)
    except BadRequestError:
        return
    assert database.path.isascii()
    assert ".." not in database.path
    assert not set(database.path) & set("'\"$`\\\n\r\t :;&|<>*?[]{}()~!#%")
    assert not database.path.startswith("/")


@pytest.mark.parametrize("key", ["databases", "db", "database_name", "db_display_name"])
def test_the_database_may_come_in_any_of_four_fields(key: str) -> None:
    given_body = body(db=None, db_display_name="")

    assert parse(given_body | {key: "nt"}).databases == (Database(name="nt", folder="nt"),)


def test_without_a_database_the_field_is_named() -> None:
    with pytest.raises(BadRequestError, match="db is required"):
        parse(body(db="", db_display_name=None))


def test_several_databases_are_sorted_and_distinct() -> None:
    request = parse(body(databases=["nt", "core_nt", "blast-db/nt"]))

    assert [database.name for database in request.databases] == ["core_nt", "nt"]


@pytest.mark.parametrize("value", [{"name": "nt"}, 7, True, ["nt", 7], [["nt"]], [None], [""]])
def test_databases_of_the_wrong_shape_are_refused(value: object) -> None:
    with pytest.raises(BadRequestError, match="db "):
        parse(body(databases=value))


def test_a_huge_list_of_databases_is_refused_by_its_length() -> None:
    with pytest.raises(BadRequestError, match="100000 databases; at most 16"):
        parse(body(databases=["nt"] * 100_000))


def test_the_same_name_in_two_folders_is_refused_since_files_lie_flat() -> None:
    with pytest.raises(BadRequestError, match="two folders"):
        parse(body(databases=["nt/nt_euk", "nt_euk"]))


def test_the_image_comes_from_the_named_registry() -> None:
    request = parse(body(acr_name="ElbACR", acr_resource_group="rg-acr"))

    assert request.image == "elbacr.azurecr.io/ncbi/elb:1.4.0"
    assert request.registry == Registry(name="ElbACR", resource_group="rg-acr")


def test_without_any_image_the_remedy_is_named() -> None:
    bare = RequestDefaults(repository="r", registry_suffix="s", image=None, deadline_minutes=None)

    with pytest.raises(BadRequestError, match=r"acr_name.*WARMUP_IMAGE"):
        parse(body(), bare)


@pytest.mark.parametrize("key", ["verify_only", "dry_run", "allow_partial"])
@pytest.mark.parametrize("value", ["true", 1, 0, [], {}, ""])
def test_a_switch_is_true_or_false_and_nothing_like_it(key: str, value: object) -> None:
    with pytest.raises(BadRequestError, match=f"{key} must be true or false"):
        parse(body(**{key: value}))


def test_switches_say_what_they_switch() -> None:
    request = parse(body(verify_only=True, dry_run=True, allow_partial=True, max_mbps_per_node=250))

    assert (request.mode, request.dry_run, request.allow_partial) == (Mode.VERIFY, True, True)
    assert request.max_mbps_per_node == 250


@pytest.mark.parametrize("value", [0, -1, 100_001, 1.5, "250", True, [], float("nan"), 10**30])
def test_a_ceiling_is_a_whole_number_within_reason(value: object) -> None:
    with pytest.raises(BadRequestError, match="max_mbps_per_node"):
        parse(body(max_mbps_per_node=value))


def test_the_operators_deadline_is_carried_along() -> None:
    set_once = RequestDefaults(repository="r", registry_suffix="s", image="i", deadline_minutes=90)

    assert parse(body(), set_once).deadline_minutes == 90


def test_an_account_is_asked_for_without_the_clusters_group() -> None:
    query = parse_account(body())

    assert (query.name, query.resource_group, query.run_id) == ("blastdata", None, "")


def test_a_cluster_is_read_from_a_query_too() -> None:
    fields = {"subscription_id": SUBSCRIPTION, "resource_group": "rg", "cluster_name": "c"}

    assert parse_cluster(fields).name == "c"


@pytest.mark.parametrize("text", ["a" * 32, "0123456789abcdef", "a-" * 32])
def test_a_run_id_is_letters_digits_and_dashes(text: str) -> None:
    assert parse_run_id(text) == text


@pytest.mark.parametrize("text", ["", "short", "a" * 65, "a" * 31 + "\n", "../" * 8, "é" * 32, None, 7])
def test_anything_else_is_no_run_id(text: object) -> None:
    with pytest.raises(BadRequestError, match="instance_id"):
        parse_run_id(text)


@pytest.mark.parametrize("text", ["-1", "1.0", "11", "ten", "\u0663", "\u00b2", "9" * 10, "1\n", " 1"])
def test_a_query_number_is_plain_digits_up_to_its_limit(text: str) -> None:
    with pytest.raises(BadRequestError, match="offset must be a whole number from 0 to 10"):
        parse_whole({"offset": text}, "offset", 0, 10)


def test_a_query_number_left_out_is_the_default() -> None:
    assert (parse_whole({}, "offset", 3, 10), parse_whole({"offset": "7"}, "offset", 3, 10)) == (3, 7)


@pytest.mark.parametrize("value", [None, "", "remove"])
def test_pods_of_a_failed_run_are_removed_unless_asked_otherwise(value: object) -> None:
    assert parse(body(on_failure=value)).on_failure is OnFailure.REMOVE
    assert parse(body(on_failure="keep")).on_failure is OnFailure.KEEP


@pytest.mark.parametrize("value", ["KEEP", "delete", True, 1, ["keep"]])
def test_any_other_wish_for_a_failed_run_is_refused(value: object) -> None:
    with pytest.raises(BadRequestError, match="on_failure must be one of remove, keep"):
        parse(body(on_failure=value))


def released(**changes: Any) -> WarmupRequest:
    wish = body(**changes)
    del wish["storage_account"]
    return parse_release(wish, defaults=DEFAULTS, requested_by="oid")


def test_a_release_names_no_account_and_asks_for_no_role() -> None:
    request = released(acr_name="elbacr", storage_resource_group="rg\n")

    assert (request.mode, request.reads_blobs, request.registry) == (Mode.RELEASE, False, None)
    assert request.image == "elbacr.azurecr.io/ncbi/elb:1.4.0"
    assert request.account_resource_group is None


def test_several_databases_are_released_by_one_run() -> None:
    names = [database.name for database in released(databases=["nt", "core_nt"]).databases]

    assert names == ["core_nt", "nt"]


@pytest.mark.parametrize("field", ["subscription_id", "resource_group", "aks_cluster_name", "acr_name"])
def test_a_release_is_as_strict_as_a_start(field: str) -> None:
    with pytest.raises(BadRequestError, match=field):
        released(**{field: "a\nb"})
