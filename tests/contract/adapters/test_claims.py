"""The port `Claims`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from azure.storage.blob import ContainerClient
from testkit.azure import LaptopAzure

from shared.adapters.claims import BlobClaims
from shared.adapters.documents import Documents
from shared.domain.claims import Claim, Holder
from shared.domain.model import Cluster, Database
from shared.domain.naming import claim_name

CLUSTER = Cluster(subscription_id="s", resource_group="rg(1)", name="c1")
NT, CORE = Database(name="nt", folder="nt"), Database(name="core_nt", folder="core_nt")


def claim(run_id: str, database: Database = NT) -> Claim:
    return Claim(
        cluster=CLUSTER,
        database=database,
        run_id=run_id,
        run_databases=(NT, CORE),
        account_name="warmdata",
        claimed_at=datetime(2026, 5, 1, tzinfo=UTC),
    )


def test_what_nobody_holds_is_taken_and_read(documents: Documents) -> None:
    claims = BlobClaims(documents)
    assert claims.read(CLUSTER, NT) is None

    assert claims.take(claim("run-1"), over=None)
    assert claims.read(CLUSTER, NT) == claim("run-1")
    assert claims.read(CLUSTER, CORE) is None


def test_of_fifty_who_take_at_once_one_wins(documents: Documents) -> None:
    claims = BlobClaims(documents)
    with ThreadPoolExecutor(10) as threads:
        won = list(threads.map(lambda n: claims.take(claim(f"run-{n}"), over=None), range(50)))

    holder = claims.read(CLUSTER, NT)
    assert won.count(True) == 1
    assert holder == claim(f"run-{won.index(True)}")


def test_a_claim_is_taken_over_only_from_whom_was_judged_dead(documents: Documents) -> None:
    claims = BlobClaims(documents)
    claims.take(claim("dead"), over=None)

    assert not claims.take(claim("run-2"), over=None)
    assert not claims.take(claim("run-2"), over=claim("another"))
    assert claims.take(claim("run-2"), over=claim("dead"))
    assert not claims.take(claim("run-3"), over=claim("dead"))
    assert claims.read(CLUSTER, NT) == claim("run-2")


def test_taking_again_what_one_holds_succeeds(documents: Documents, azure: LaptopAzure) -> None:
    claims = BlobClaims(documents)
    claims.take(claim("run-0", CORE), over=None)
    azure.fault(area="blob", kind="lost_reply", method="PUT", path="claims/", count=1)

    assert claims.take(claim("run-1"), over=None)
    assert claims.take(claim("run-1"), over=None)
    azure.fault(area="blob", kind="lost_reply", method="PUT", path="claims/", count=1)
    assert claims.take(claim("run-2"), over=claim("run-1"))


def test_a_run_drops_what_it_holds_and_nothing_of_others(documents: Documents) -> None:
    claims = BlobClaims(documents)
    claims.take(claim("run-1"), over=None)
    claims.take(claim("run-2", CORE), over=None)
    claims.drop(CLUSTER, (NT, CORE), Holder("run-1"))
    claims.drop(CLUSTER, (NT, CORE), Holder("run-1"))

    assert claims.read(CLUSTER, NT) is None
    assert claims.read(CLUSTER, CORE) == claim("run-2", CORE)


def test_what_was_taken_from_dead_runs_is_given_back_to_one_after_the_other(documents: Documents) -> None:
    claims = BlobClaims(documents)
    assert claims.take(replace(claim("run-3"), after=("dead-1", "dead-2"), cancelled_by="oid"), over=None)

    for run_id, after in (("run-3", ("dead-1",)), ("dead-2", ())):
        claims.drop(CLUSTER, (NT,), Holder(run_id))
        held = claims.read(CLUSTER, NT)
        assert held is not None
        assert (held.after, held.cancelled_by, held.ended) == (after, None, True)
    claims.drop(CLUSTER, (NT,), Holder("dead-1"))
    assert claims.read(CLUSTER, NT) is None


def test_an_ending_is_marked_on_what_the_run_holds_and_nothing_of_others(documents: Documents) -> None:
    claims = BlobClaims(documents)
    claims.take(claim("run-1"), over=None)
    claims.take(claim("run-2", CORE), over=None)
    claims.end(CLUSTER, (NT, CORE), Holder("run-1"))
    claims.end(CLUSTER, (NT, CORE), Holder("run-1"))

    assert claims.read(CLUSTER, NT) == replace(claim("run-1"), ended=True)
    assert claims.read(CLUSTER, CORE) == claim("run-2", CORE)


def test_of_a_run_that_was_asked_for_again_the_claim_of_one_moment_is_meant(documents: Documents) -> None:
    claims = BlobClaims(documents)
    old = claim("run-1")
    again = replace(old, claimed_at=old.claimed_at + timedelta(minutes=5, microseconds=1), after=("run-1",))
    assert claims.take(old, over=None)
    assert claims.take(again, over=old)

    assert not claims.end(CLUSTER, (NT,), Holder("run-1", old.claimed_at))
    claims.drop(CLUSTER, (NT,), Holder("run-1", old.claimed_at))
    assert claims.read(CLUSTER, NT) == again

    assert claims.end(CLUSTER, (NT, CORE), Holder("run-1", again.claimed_at))
    claims.drop(CLUSTER, (NT, CORE), Holder("run-1", again.claimed_at))
    given_back = claims.read(CLUSTER, NT)
    assert given_back is not None
    assert (given_back.run_id, given_back.after) == ("run-1", ())


def test_all_claims_are_told_whoever_holds_them(documents: Documents) -> None:
    claims = BlobClaims(documents)
    assert claims.all() == ()

    claims.take(claim("run-1"), over=None)
    claims.take(claim("run-2", CORE), over=None)
    assert set(claims.all()) == {claim("run-1"), claim("run-2", CORE)}


def test_a_cancellation_is_written_down_for_the_run_that_holds_it(documents: Documents) -> None:
    claims = BlobClaims(documents)
    claims.take(claim("run-1"), over=None)

    assert not claims.cancel(CLUSTER, NT, "run-2", by="somebody")
    assert not claims.cancel(CLUSTER, CORE, "run-1", by="somebody")
    assert claims.cancel(CLUSTER, NT, "run-1", by="first")
    assert claims.cancel(CLUSTER, NT, "run-1", by="second")
    assert claims.read(CLUSTER, NT) == replace(claim("run-1"), cancelled_by="first")
    claims.drop(CLUSTER, (NT,), Holder("run-1"))
    assert claims.read(CLUSTER, NT) is None


def test_a_corrupt_claim_is_set_aside_and_free(documents: Documents, writer: ContainerClient) -> None:
    claims = BlobClaims(documents)
    claims.take(claim("run-1"), over=None)
    name = claim_name(CLUSTER, NT)
    writer.upload_blob(name, b"spoilt", overwrite=True)

    assert claims.read(CLUSTER, NT) is None
    assert claims.take(claim("run-2"), over=None)
    assert [name.rpartition(".")[0] for name in writer.list_blob_names(name_starts_with="corrupt/")] == [
        f"corrupt/{name}"
    ]
