"""Dry runs, verifications and releases: the same story, with less to it."""

from testkit import builders as a
from testkit.telling import tell
from testkit.world_answers import ALL_BUSY, ALL_READY, RELEASE, answers

from orchestrators.steps import LOOKS_PER_HISTORY
from shared.domain.model import Missing, Mode, OnFailure
from shared.domain.planning import planned_seconds


def test_a_dry_run_answers_the_plan_and_touches_nothing() -> None:
    told = tell(a.run(dry_run=True), answers())

    assert told.output["status"] == "planned"
    assert (told.output["node_count"], told.output["bytes_per_node"]) == (3, a.STAGED.bytes)
    assert told.called == [
        "read_cluster",
        "inspect_access",
        "probe_access",
        "describe_database",
        "find_missing",
        "look_for_roles",
        "release_claims",
        "record_ending",
    ]
    assert told.output["would_grant"] == ["Storage Blob Data Reader on blastdata"]
    assert told.output["steps"]["roles"]["roles_assigned"] == []
    assert (told.output["bytes_missing"], told.output["nodes_lacking"]) == (None, None)
    assert told.output["eta_seconds"] == planned_seconds(a.request(), a.STAGED.bytes)


def test_a_dry_run_tells_what_the_nodes_lack_as_far_as_they_show_it() -> None:
    lacking = Missing(nodes=1, bytes=78_000_000, most_on_one_node=78_000_000)
    told = tell(a.run(dry_run=True), answers(find_missing=lacking))

    assert (told.output["bytes_missing"], told.output["nodes_lacking"]) == (78_000_000, 1)
    assert told.output["eta_seconds"] == planned_seconds(a.request(), 78_000_000)


def test_a_dry_verification_lacks_nothing_since_it_copies_nothing() -> None:
    told = tell(a.run(mode=Mode.VERIFY, dry_run=True), answers())

    assert "find_missing" not in told.called


def test_verifying_leaves_pods_that_warm_nodes_which_join_later() -> None:
    told = tell(a.run(mode=Mode.VERIFY), answers())

    assert told.output["status"] == "succeeded"
    assert told.called[-4:] == ["close_access", "stop_verifying", "release_claims", "record_ending"]


def test_pods_that_go_on_verifying_are_left_to_the_janitor_and_told() -> None:
    told = tell(a.run(mode=Mode.VERIFY), answers(stop_verifying=RuntimeError("no answer")))

    assert told.output["status"] == "succeeded"
    note = told.output["steps"]["disable_storage"]["note"]
    assert note == "stop_verifying is left to the janitor: no answer. "
    assert "release_claims" not in told.called


def test_releasing_takes_the_daemonset_away_in_the_end() -> None:
    told = tell(RELEASE, answers())

    assert told.output["status"] == "succeeded"
    assert all(step["done"] for step in told.output["steps"].values())
    assert told.called == [
        "read_cluster",
        "apply_daemonset",
        "observe_nodes",
        "retire_daemonsets",
        "release_claims",
        "record_ending",
    ]


def test_a_release_says_what_it_could_not_take_off_and_from_where() -> None:
    told = tell(RELEASE, answers(a.seen(a.state("node0"), a.broken("node1", message="the lock is held"))))

    assert told.output["status"] == "failed"
    assert told.error.startswith("the lock is held (on node1)")
    assert (told.output["nodes_ready"], told.output["nodes_failed"]) == (1, 1)


def test_a_release_that_watches_for_long_still_touches_no_account() -> None:
    told = tell(RELEASE, answers(*[ALL_BUSY] * (LOOKS_PER_HISTORY + 1), ALL_READY))

    assert len(told.rows_per_history) > 1
    assert not {"open_access", "close_access", "grant_roles"} & set(told.called)


def test_a_dry_release_shows_the_nodes_that_would_be_asked() -> None:
    told = tell(a.run(mode=Mode.RELEASE, account_name="", dry_run=True), answers())

    assert (told.output["status"], told.output["node_count"]) == ("planned", 3)
    assert told.output["would_grant"] == []
    assert "apply_daemonset" not in told.called


def test_a_release_keeps_nothing() -> None:
    kept = a.run(on_failure=OnFailure.KEEP, mode=Mode.RELEASE)

    assert "retire_daemonsets" in tell(kept, answers(a.seen(a.state("node0"), a.broken("node1")))).called
