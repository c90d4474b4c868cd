"""What is kept warm: how it is listed, what it may lack, when a run may start for it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from testkit.builders import CLUSTER, SUBSCRIPTION

from shared.domain.causes import Kind, cause_of
from shared.domain.keeping import (
    LONGEST_REST,
    REST,
    KeptWarm,
    PastRun,
    is_rested,
    lacking,
    parse_kept_warm,
    rest_after,
)
from shared.domain.model import Database
from shared.domain.requests import BadRequestError
from shared.domain.warmth import DatabaseWarmth, Standing, Warmth

NOW = datetime(2026, 5, 26, 12, 0, tzinfo=UTC)
CORE = Database(name="core_nt", folder="core_nt")
RRNA = Database(name="16S", folder="16S")
KEPT = KeptWarm(cluster=CLUSTER, account_name="blastdata", databases=(RRNA, CORE))
PLACE = f"{SUBSCRIPTION}/rg-elb/elb-cluster"


def warmth(*rows: DatabaseWarmth) -> Warmth:
    return Warmth(
        workspace_ready=0, workspace_desired=0, vmtouch_ready=0, databases=rows, namespaces=(), error=""
    )


def row(name: str, ready: int = 3, **changes: Any) -> DatabaseWarmth:
    """A database that is Ready on three nodes."""
    plain: dict[str, Any] = {
        "molecule": "nucl",
        "standing": Standing.READY,
        "nodes_failed": 0,
        "nodes_active": 0,
        "sources": ("warmup",),
        "generation": "g1",
    }
    return DatabaseWarmth(name=name, nodes_ready=ready, **(plain | changes))


def succeeded(minutes_ago: int) -> PastRun:
    return replace(failed(minutes_ago), succeeded=True)


def failed(minutes_ago: int) -> PastRun:
    at = NOW - timedelta(minutes=minutes_ago)
    return PastRun(began_at=at - timedelta(minutes=1), ended_at=at)


def test_a_list_names_clusters_accounts_and_databases() -> None:
    text = f" {PLACE}=blastdata:core_nt+16S ; {SUBSCRIPTION}/rg-elb/other=blastdata:custom_db/mine; "

    first, second = parse_kept_warm(text)

    assert first == KEPT
    assert (second.cluster.name, second.databases[0].folder) == ("other", "custom_db/mine")


def test_nothing_listed_is_nothing_kept() -> None:
    assert parse_kept_warm(" ; ") == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("core_nt", "not of the form"),
        (f"{PLACE}:blastdata=core_nt", "not of the form"),
        (f"{PLACE}/more=blastdata:core_nt", "not of the form"),
        (f"{PLACE}=blastdata:", "db ''"),
        (f"{PLACE}=blastdata:https://evil.example/db", "never a URL"),
        (f"{PLACE}=BlastData:core_nt", "storage_account"),
        ("rg/elb/cluster=blastdata:core_nt", "subscription_id"),
        (f"{PLACE}=blastdata:core_nt;{PLACE}=blastdata:16S", "twice"),
    ],
)
def test_an_entry_that_breaks_a_rule_is_refused_with_it(text: str, told: str) -> None:
    with pytest.raises(BadRequestError, match=told):
        parse_kept_warm(text)


def test_what_every_node_holds_lacks_nothing() -> None:
    assert lacking(KEPT, warmth(row("core_nt"), row("16S")), {CORE: "g1"}) == {}


def test_what_is_not_there_or_was_put_there_by_somebody_else_is_lacking() -> None:
    elsewhere = row("16S", sources=("setup",), generation=None)

    assert lacking(KEPT, warmth(elsewhere), {}) == dict.fromkeys((RRNA, CORE), "no node holds it")


def test_nodes_that_joined_and_are_not_warm_are_lacking() -> None:
    joined = row("core_nt", standing=Standing.LOADING, nodes_active=2)

    assert lacking(KEPT, warmth(joined, row("16S")), {}) == {CORE: "2 of 5 nodes are not warm"}


def test_a_node_that_does_not_answer_is_not_waited_for() -> None:
    silent = cause_of(Kind.NODE_NOT_READY, "the node does not answer", "node-3")
    lost = row("core_nt", standing=Standing.LOADING, nodes_active=1, causes=(silent,))

    assert lacking(KEPT, warmth(lost, row("16S")), {}) == {}


def test_a_pool_scaled_to_nothing_lacks_nothing() -> None:
    assert lacking(KEPT, warmth(row("core_nt", 0, standing=Standing.UNKNOWN), row("16S")), {}) == {}


def test_a_newer_generation_is_lacking_only_where_it_is_known() -> None:
    held = warmth(row("core_nt"), row("16S"))

    assert lacking(KEPT, held, {CORE: "g2"}) == {CORE: "a newer generation is staged"}
    assert lacking(KEPT, held, {}) == {}


def test_a_run_that_lives_is_not_joined_by_another() -> None:
    assert not is_rested([succeeded(60), PastRun(began_at=NOW, ended_at=None)], NOW)


def test_after_a_success_a_short_rest_will_do() -> None:
    assert is_rested([], NOW)
    assert not is_rested([succeeded(9)], NOW)
    assert is_rested([succeeded(10), failed(60)], NOW)


def test_failures_in_a_row_make_the_rest_grow_until_one_succeeds() -> None:
    failures = [failed(minutes) for minutes in (15, 30, 45)]

    assert not is_rested(failures, NOW)
    assert is_rested([failed(21), *failures[1:]], NOW)
    assert is_rested([failed(15), succeeded(20), *failures[1:]], NOW)


def test_the_rest_never_shrinks_with_failures_and_has_an_end() -> None:
    rests = [rest_after(failures) for failures in range(200)]

    assert rests == sorted(rests)
    assert (rests[0], rests[-1]) == (REST, LONGEST_REST)
