"""The dashboard's card, from what an API server shows."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from testkit import builders as a

from shared.domain.causes import Kind
from shared.domain.model import Database, Missing, StagedDatabase
from shared.domain.runs import MissingQuery
from shared.domain.warmth import (
    DatabaseWarmth,
    Sighting,
    Standing,
    image_of,
    missing_in,
    staged_places,
    unseen,
    warmth_of,
    with_staged,
)

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
LONG_AGO = "2026-05-01T10:00:00Z"
NOTHING = Sighting(
    workspace=None, vmtouch=None, daemon_sets=(), pods=(), nodes={}, jobs=(), namespaces=(), faults=()
)


def daemon_set(desired: int = 2, observed: int = 4, **annotations: str) -> dict[str, Any]:
    """A DaemonSet as a warm-up of `run-1` leaves it."""
    notes = {
        "elastic-blast-warmup/run-id": "run-1",
        "elastic-blast-warmup/database": "nt/nt_euk",
        "elastic-blast-warmup/generation": "abcdef01",
        "elastic-blast-warmup/source-version": "2026-05-26",
        "elastic-blast-warmup/molecule": "nucl",
    } | annotations
    return {
        "metadata": {
            "uid": "ds-1",
            "generation": 4,
            "creationTimestamp": LONG_AGO,
            "labels": {"app": "db-warmup", "db": "nt_euk"},
            "annotations": notes,
        },
        "spec": {"template": {"metadata": {"annotations": notes}}},
        "status": {
            "desiredNumberScheduled": desired,
            "observedGeneration": observed,
            "numberReady": desired,
        },
    }


def pod(node: str, *, run_id: str = "run-1", ready: bool = True, **report: object) -> dict[str, Any]:
    """A pod of that DaemonSet, whose agent has said `report`."""
    said = {"schema": 1, "run_id": run_id, "phase": "ready"} | report
    init = {"name": "download-db", "state": {"terminated": {"exitCode": 0, "message": json.dumps(said)}}}
    return {
        "metadata": {
            "name": f"warmup-{node}",
            "uid": f"pod-{node}",
            "creationTimestamp": LONG_AGO,
            "annotations": {"elastic-blast-warmup/run-id": run_id},
            "ownerReferences": [{"uid": "ds-1", "controller": True}],
        },
        "spec": {"nodeName": node},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "initContainerStatuses": [init],
        },
    }


def job(name: str, status: Mapping[str, object], database: str = "core_nt") -> dict[str, Any]:
    """One of ElasticBLAST's own set-up Jobs."""
    env = [{"name": "ELB_DB", "value": database}, {"name": "ELB_DB_MOL_TYPE", "value": "nucl"}]
    return {
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [{"env": env}]}}},
        "status": status,
    }


def only(sight: Sighting) -> DatabaseWarmth:
    """The one database of a card."""
    (database,) = warmth_of(sight, NOW).databases
    return database


def counts(row: DatabaseWarmth) -> tuple[int, int, int]:
    return (row.nodes_ready, row.nodes_failed, row.nodes_active)


def test_a_database_is_ready_when_every_node_has_said_so_under_the_present_run() -> None:
    row = only(replace(NOTHING, daemon_sets=(daemon_set(),), pods=(pod("n1"), pod("n2"))))

    assert (row.name, row.standing, counts(row)) == ("nt_euk", Standing.READY, (2, 0, 0))
    assert (row.run_id, row.generation, row.source_version) == ("run-1", "abcdef01", "2026-05-26")
    assert row.sources == ("warmup",)


def test_ready_pods_of_an_earlier_run_say_nothing() -> None:
    row = only(replace(NOTHING, daemon_sets=(daemon_set(),), pods=(pod("n1"), pod("n2", run_id="run-0"))))

    assert (row.standing, counts(row)) == (Standing.LOADING, (1, 0, 1))


def test_a_ready_pod_without_a_report_is_not_believed() -> None:
    silent = pod("n1")
    silent["status"]["initContainerStatuses"] = []

    assert only(replace(NOTHING, daemon_sets=(daemon_set(1),), pods=(silent,))).standing is Standing.LOADING


def test_counts_of_an_old_template_are_not_ready() -> None:
    stale = daemon_set(1, observed=3)

    assert only(replace(NOTHING, daemon_sets=(stale,), pods=(pod("n1"),))).standing is Standing.LOADING


def test_a_failing_daemonset_is_failed_with_its_cause() -> None:
    full = pod("n2", ready=False, phase="failed", error={"kind": "disk_full", "message": "3 GB short"})

    row = only(replace(NOTHING, daemon_sets=(daemon_set(),), pods=(pod("n1"), full)))

    assert (row.standing, counts(row)) == (Standing.FAILED, (1, 1, 0))
    assert [cause.kind for cause in row.causes] == [Kind.DISK_FULL]


def test_ready_nodes_that_hold_different_bytes_are_not_a_warm_database() -> None:
    pods = [pod(node, digest=digest * 32) for node, digest in (("n1", "ab"), ("n2", "ab"), ("n3", "cd"))]

    row = only(replace(NOTHING, daemon_sets=(daemon_set(3),), pods=tuple(pods)))

    assert (row.standing, counts(row)) == (Standing.FAILED, (3, 0, 0))
    assert [(cause.kind, cause.node) for cause in row.causes] == [(Kind.DIGESTS_DIFFER, "n3")]


def test_a_node_that_has_no_pod_yet_is_loading_however_old_the_daemonset() -> None:
    row = only(replace(NOTHING, daemon_sets=(daemon_set(3),), pods=(pod("n1"), pod("n2"))))

    assert (row.standing, counts(row), row.causes) == (Standing.LOADING, (2, 0, 1), ())


@pytest.mark.parametrize(
    ("minutes_ago", "standing"), [(15, Standing.FAILED), (40, Standing.LOADING)], ids=["lately", "once"]
)
def test_a_node_whose_pod_is_refused_is_failed_and_says_why(minutes_ago: int, standing: Standing) -> None:
    refused = {
        "reason": "FailedCreate",
        "message": 'Error creating: pods "warmup-nt-x" is forbidden: violates PodSecurity "baseline:latest"',
        "involvedObject": {"uid": "ds-1"},
        "lastTimestamp": (NOW - timedelta(minutes=minutes_ago)).isoformat(),
    }
    shown = replace(NOTHING, daemon_sets=(daemon_set(2),), pods=(pod("n1"),), refusals=(refused,))

    row = only(shown)

    assert row.standing is standing
    assert [cause.kind for cause in row.causes] == [Kind.POD_REFUSED] * (standing is Standing.FAILED)


def test_a_node_that_joined_and_is_at_work_is_loading() -> None:
    joined = pod("n2", ready=False)
    joined["status"]["initContainerStatuses"] = [{"name": "download-db", "state": {"running": {}}}]

    row = only(replace(NOTHING, daemon_sets=(daemon_set(),), pods=(pod("n1"), joined)))

    assert (row.standing, counts(row)) == (Standing.LOADING, (1, 0, 1))


def test_a_pod_on_a_silent_node_is_not_ready_and_one_on_a_lost_node_is_none() -> None:
    pods = (pod("n1"), pod("n2", ready=False), pod("n3"))

    row = only(replace(NOTHING, daemon_sets=(daemon_set(2),), pods=pods, nodes={"n1": True, "n2": False}))

    assert (row.standing, counts(row)) == (Standing.LOADING, (1, 0, 1))
    assert [cause.kind for cause in row.causes] == [Kind.NODE_NOT_READY]


def test_pods_on_the_way_out_and_pods_of_others_do_not_count() -> None:
    leaving, strange = pod("n1"), pod("n3")
    leaving["metadata"]["deletionTimestamp"] = LONG_AGO
    strange["metadata"]["ownerReferences"] = [{"uid": "ds-2", "controller": True}]

    row = only(replace(NOTHING, daemon_sets=(daemon_set(1),), pods=(pod("n1"), leaving, strange)))

    assert counts(row) == (1, 0, 0)


def test_a_daemonset_that_nobody_stamped_is_unknown() -> None:
    foreign = daemon_set(2)
    foreign["metadata"]["annotations"] = {}

    row = only(replace(NOTHING, daemon_sets=(foreign,), pods=(pod("n1"), pod("n2"))))

    assert (row.name, row.standing, row.nodes_total) == ("nt_euk", Standing.UNKNOWN, 2)


def test_without_a_targeted_node_nothing_is_ready() -> None:
    assert only(replace(NOTHING, daemon_sets=(daemon_set(0),))).standing is Standing.UNKNOWN


def test_pods_that_were_not_read_make_a_database_unknown_and_the_card_degraded() -> None:
    card = warmth_of(replace(NOTHING, daemon_sets=(daemon_set(),), faults=("pods not read: time-out",)), NOW)

    assert card.databases[0].standing is Standing.UNKNOWN
    assert card.error == "pods not read: time-out"


@pytest.mark.parametrize(
    ("statuses", "standing", "expected"),
    [
        (({"succeeded": 1}, {"succeeded": 1}), Standing.READY, (2, 0, 0)),
        (({"succeeded": 1}, {"active": 1}), Standing.LOADING, (1, 0, 1)),
        (({"succeeded": 1, "failed": 1}, {"succeeded": 1}), Standing.READY, (2, 0, 0)),
        (
            ({"succeeded": 1}, {"conditions": [{"type": "Failed", "status": "True"}]}),
            Standing.FAILED,
            (1, 1, 0),
        ),
    ],
)
def test_setup_jobs_are_counted_per_database(
    statuses: tuple[Mapping[str, object], ...], standing: Standing, expected: tuple[int, int, int]
) -> None:
    jobs = tuple(job(f"init-ssd-{n}", status) for n, status in enumerate(statuses))

    row = only(replace(NOTHING, jobs=(*jobs, job("submit-7", {"succeeded": 1}, "other"))))

    assert (row.name, row.molecule, row.sources) == ("core_nt", "nucl", ("setup",))
    assert (row.standing, counts(row)) == (standing, expected)


def test_node_truth_outweighs_a_finished_job_of_the_same_name() -> None:
    jobs = (job("init-ssd-0", {"succeeded": 1}, "nt_euk"),)

    row = only(replace(NOTHING, daemon_sets=(daemon_set(1),), pods=(pod("n1", run_id="run-0"),), jobs=jobs))

    assert (row.standing, row.molecule, row.sources) == (Standing.LOADING, "nucl", ("setup", "warmup"))


def test_the_workspace_and_searches_are_shown() -> None:
    workspace = {"status": {"numberReady": 2, "desiredNumberScheduled": 3}}
    names = ["default", *(f"elastic-blast-{n:02}" for n in range(30))]
    spaces = tuple({"metadata": {"name": name}} for name in names)

    card = warmth_of(replace(NOTHING, workspace=workspace, namespaces=spaces), NOW)

    assert (card.warm, card.workspace_ready, card.workspace_desired) == (True, 2, 3)
    assert card.namespaces == tuple(f"elastic-blast-{n:02}" for n in range(20))


def test_an_unseen_cluster_says_so() -> None:
    assert unseen("no route").error == "no route"
    assert warmth_of(NOTHING, NOW).error == ""


@pytest.mark.parametrize("junk", [{}, {"metadata": None}, {"metadata": {"annotations": []}, "status": 7}])
def test_objects_that_make_no_sense_do_no_harm(junk: dict[str, object]) -> None:
    sight = replace(NOTHING, daemon_sets=(junk,), pods=(junk,), jobs=(junk,), namespaces=(junk,))

    assert all(row.standing is Standing.UNKNOWN for row in warmth_of(sight, NOW).databases)


@pytest.mark.parametrize(
    ("endpoint", "account"),
    [
        ("https://blastdata.blob.core.windows.net/", "blastdata"),
        ("https://blastdata.blob.core.chinacloudapi.cn", "blastdata"),
        ("https://127.0.0.1:10000/blastdata/", "blastdata"),
    ],
)
def test_a_daemonset_remembers_where_it_was_warmed_from(endpoint: str, account: str) -> None:
    env = [{"name": "WARMUP_BLOB_ENDPOINT", "value": endpoint}]
    container = {"name": "download-db", "image": "elb:1", "env": env}
    named = {
        "metadata": {"annotations": {"elastic-blast-warmup/database": "nt/nt"}},
        "spec": {"template": {"spec": {"initContainers": [container]}}},
    }

    assert staged_places(replace(NOTHING, daemon_sets=(named,))) == (
        (Database(name="nt", folder="nt"), account),
    )
    assert (image_of(named), image_of({})) == ("elb:1", "")


def test_a_database_that_is_being_removed_is_not_ready_when_its_agents_are_done() -> None:
    leaving = daemon_set()
    told = [{"name": "WARMUP_MODE", "value": "release"}]
    leaving["spec"]["template"]["spec"] = {"initContainers": [{"name": "download-db", "env": told}]}

    row = only(replace(NOTHING, daemon_sets=(leaving,), pods=(pod("n1"), pod("n2"))))

    assert (row.standing, counts(row)) == (Standing.UNKNOWN, (0, 0, 2))


def test_a_database_is_stale_only_when_the_container_is_known_to_hold_another() -> None:
    card = warmth_of(replace(NOTHING, daemon_sets=(daemon_set(),), pods=(pod("n1"), pod("n2"))), NOW)

    told = [
        with_staged(card, known).databases[0].stale for known in ({}, {"nt_euk": "abcdef01"}, {"nt_euk": "f"})
    ]
    assert told == [None, False, True]


def test_a_place_that_a_cluster_names_is_parsed_like_a_strangers() -> None:
    ours, hostile = daemon_set(), daemon_set()
    hostile["metadata"]["annotations"]["elastic-blast-warmup/database"] = "../../etc"
    for each in (ours, hostile):
        each["spec"]["template"]["spec"] = {
            "initContainers": [{"name": "download-db", "env": [env("https://acct.blob.core.windows.net/")]}]
        }

    places = staged_places(replace(NOTHING, daemon_sets=(ours, hostile, daemon_set())))

    assert places == ((Database(name="nt_euk", folder="nt"), "acct"),)


def env(endpoint: str) -> dict[str, str]:
    return {"name": "WARMUP_BLOB_ENDPOINT", "value": endpoint}


def test_nodes_that_a_failed_run_left_out_keep_the_database_from_being_ready() -> None:
    narrowed = daemon_set(2, 4, **{"elastic-blast-warmup/left-out": "1"})
    sight = replace(NOTHING, daemon_sets=(narrowed,), pods=(pod("n0"), pod("n1")))
    (row,) = warmth_of(sight, NOW).databases

    assert row.standing is Standing.FAILED
    assert (row.nodes_ready, row.nodes_failed, row.nodes_total) == (2, 1, 3)
    assert row.causes[0].remedy == "start again"


@pytest.mark.parametrize("told", ["", "-1", "many", "9" * 30])
def test_a_count_of_left_out_nodes_that_is_none_counts_for_nothing(told: str) -> None:
    sight = replace(
        NOTHING,
        daemon_sets=(daemon_set(1, 4, **{"elastic-blast-warmup/left-out": told}),),
        pods=(pod("n0"),),
    )

    assert warmth_of(sight, NOW).databases[0].standing is Standing.READY


EUK = replace(a.STAGED, database=Database(name="nt_euk", folder="nt"), generation="abcdef01", bytes=70)
WARM_PAIR = replace(NOTHING, daemon_sets=(daemon_set(),), pods=(pod("n0"), pod("n1", ready=False)))


@pytest.mark.parametrize(
    ("staged", "sight", "missing"),
    [
        (EUK, WARM_PAIR, Missing(nodes=2, bytes=140, most_on_one_node=70)),
        (EUK, NOTHING, Missing(nodes=3, bytes=210, most_on_one_node=70)),
        (replace(EUK, generation="newer"), WARM_PAIR, Missing(nodes=3, bytes=210, most_on_one_node=70)),
        (
            EUK,
            replace(NOTHING, daemon_sets=(daemon_set(desired=3),), pods=tuple(map(pod, ("n0", "n1", "n2")))),
            Missing(nodes=0, bytes=0, most_on_one_node=0),
        ),
    ],
    ids=["one of three shows it", "nobody shows it", "another generation", "all show it"],
)
def test_a_node_lacks_what_it_does_not_show_as_whole(
    staged: StagedDatabase, sight: Sighting, missing: Missing
) -> None:
    query = MissingQuery(cluster=a.CLUSTER, nodes=("n0", "n1", "n2"), databases=(staged,), now=NOW)

    assert missing_in(query, sight) == missing


def test_nodes_that_give_a_database_up_lack_it() -> None:
    leaving = daemon_set(desired=1)
    leaving["spec"]["template"]["spec"] = {
        "initContainers": [{"name": "download-db", "env": [{"name": "WARMUP_MODE", "value": "release"}]}]
    }
    query = MissingQuery(cluster=a.CLUSTER, nodes=("n0",), databases=(EUK,), now=NOW)

    assert missing_in(query, replace(NOTHING, daemon_sets=(leaving,), pods=(pod("n0"),))).nodes == 1


def test_databases_add_up_on_a_node() -> None:
    other = replace(EUK, database=replace(EUK.database, name="other"), bytes=5)
    query = MissingQuery(cluster=a.CLUSTER, nodes=("n0", "n1"), databases=(EUK, other), now=NOW)

    assert missing_in(query, WARM_PAIR) == Missing(nodes=2, bytes=80, most_on_one_node=75)
