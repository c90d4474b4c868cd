"""A cluster's card and the list of databases."""

import pytest
from testkit.doors import SUBSCRIPTION, Doors

CARD = "monitor/aks/warmup-status"


def query(cluster: str) -> str:
    return f"subscription_id={SUBSCRIPTION}&resource_group=rg-elb&cluster_name={cluster}"


def test_a_cold_cluster_shows_every_field_and_no_database(doors: Doors, cluster: str) -> None:
    card = doors.get(f"{CARD}?{query(cluster)}")

    assert card.status == 200
    assert card.json == {
        "warm": False,
        "workspace_ready": 0,
        "workspace_desired": 0,
        "databases": [],
        "vmtouch_ready": 0,
        "namespaces": [],
        "degraded": False,
    }


def test_an_unreachable_cluster_is_degraded_and_says_why(doors: Doors, cluster: str) -> None:
    doors.world(silent=["monitor"])

    card = doors.get(f"{CARD}?{query(cluster)}")

    assert (card.status, card.json["degraded"]) == (200, True)
    assert "does not answer" in card.json["error"]


def test_cards_that_ask_together_share_one_reading(doors: Doors, cluster: str) -> None:
    for _ in range(5):
        doors.get(f"{CARD}?{query(cluster)}")

    assert len([act for act in doors.acts("sighted") if act["cluster"] == cluster]) == 1


def test_an_unknown_cluster_is_404(doors: Doors) -> None:
    assert doors.get(f"{CARD}?{query('absent')}").status == 404


@pytest.mark.parametrize("field", ["subscription_id", "resource_group", "cluster_name"])
def test_a_missing_name_is_400_and_named(doors: Doors, cluster: str, field: str) -> None:
    fields = [part for part in query(cluster).split("&") if not part.startswith(field)]

    answer = doors.get(f"{CARD}?{'&'.join(fields)}")

    assert answer.status == 400
    assert field in answer.json["error"]


def test_staged_databases_are_listed_as_the_dashboard_reads_them(doors: Doors) -> None:
    listed = doors.get(
        f"blast/databases?subscription_id={SUBSCRIPTION}&storage_account=listed1&resource_group=rg-elb"
    )

    assert listed.status == 200
    assert listed.json["databases"] == [
        {
            "name": "core_nt",
            "container": "https://listed1/blast-db",
            "prefix": "core_nt",
            "source": "ncbi",
            "file_count": 2,
            "total_bytes": 200,
            "last_modified": "2026-05-26T01:05:01Z",
            "ready": True,
            "source_version": "2026-05-26-01-05-01",
        }
    ]


def test_an_unknown_account_is_404_and_a_silent_one_503(doors: Doors) -> None:
    where = f"blast/databases?subscription_id={SUBSCRIPTION}&storage_account="
    assert doors.get(f"{where}absent").status == 404
    doors.world(silent=["catalog"])
    assert doors.get(f"{where}silent1").status == 503


def test_a_database_of_another_generation_than_is_staged_is_stale(doors: Doors, cluster: str) -> None:
    """Known only of accounts that the app may touch, and asked of Azure, wherever the cluster points."""
    notes = {
        "elastic-blast-warmup/run-id": "run-1",
        "elastic-blast-warmup/database": "core_nt/core_nt",
        "elastic-blast-warmup/generation": "0123456789abcdef",
        "elastic-blast-warmup/molecule": "nucl",
    }
    init = {
        "name": "download-db",
        "env": [{"name": "WARMUP_BLOB_ENDPOINT", "value": "https://blastdata.blob.core.windows.net/"}],
    }
    template = {"metadata": {"annotations": notes}, "spec": {"initContainers": [init]}}
    metadata = {"uid": "ds-1", "annotations": notes, "labels": {"app": "db-warmup"}}
    doors.world(sight={"daemon_sets": [{"metadata": metadata, "spec": {"template": template}}]})

    (row,) = doors.get(f"{CARD}?{query(cluster)}").json["databases"]

    assert (row["name"], row["mol_type"], row["generation"]) == ("core_nt", "nucl", "0123456789abcdef")
    assert (row["stale"], len(row["staged_generation"])) == (True, 16)
