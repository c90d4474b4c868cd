"""The story up to the first node: judged, opened, probed, or refused with its cause first."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from testkit import builders as a
from testkit.telling import ACTIVITY, Clock, Story, tell
from testkit.world_answers import CLOSED, REFUSAL, answers, in_turn

from shared.domain.claims import cancelled
from shared.domain.model import AccessMode, AccessTerms
from shared.domain.runs import Access, Probe
from shared.ports import PassingError
from shared.wire import encode


def test_a_stopped_cluster_is_refused_before_the_account_is_touched() -> None:
    told = tell(a.run(), answers(read_cluster=a.facts(power_state="Stopped")))

    assert told.error.startswith("cluster 'elb-cluster' is stopped")
    assert told.called == ["read_cluster", "release_claims", "record_ending"]


def test_a_cluster_without_nodes_is_refused() -> None:
    told = tell(a.run(), answers(read_cluster=a.facts(nodes=())))

    assert "no ready, schedulable Linux node" in told.error


def test_a_disk_that_cannot_hold_the_database_is_named_before_any_role() -> None:
    told = tell(a.run(), answers(read_cluster=a.facts(nodes=a.nodes(disk_bytes=1_000_000))))

    assert told.error.startswith("node 'node0' has a disk of 0 GB")
    assert "grant_roles" not in told.called


def test_an_opened_account_is_probed_until_it_answers() -> None:
    blocked = Probe(outcome="blocked", message="403")
    told = tell(a.run(), answers(probe_access=in_turn((blocked, blocked, Probe(outcome="reachable")))))

    assert told.output["status"] == "succeeded"
    assert told.called.count("probe_access") == 3


def test_an_account_that_stays_shut_is_probed_for_two_minutes() -> None:
    told = tell(a.run(), answers(probe_access=Probe(outcome="blocked", message="403")))

    each = ACTIVITY + timedelta(seconds=5)
    assert told.output["status"] == "failed"
    assert 120 - 2 * each.total_seconds() <= told.called.count("probe_access") * each.total_seconds() <= 130


def test_a_cancel_while_the_account_is_probed_ends_the_run_as_cancelled() -> None:
    blocked = Probe(outcome="blocked", message="403")
    told = tell(a.run(), answers(probe_access=in_turn((blocked, cancelled("user-oid")))))

    assert (told.output["status"], told.error) == ("cancelled", "cancelled by user-oid")
    assert told.called[-4:] == ["probe_access", "close_access", "release_claims", "record_ending"]


def test_an_account_without_databases_is_refused_at_once() -> None:
    told = tell(a.run(), answers(probe_access=Probe(outcome="not_found", message="ContainerNotFound")))

    assert told.error.startswith("account 'blastdata' has no container of databases: ContainerNotFound")
    assert told.called.count("probe_access") == 1


def test_a_role_that_the_app_lacks_is_named_as_such() -> None:
    told = tell(a.run(), answers(probe_access=Probe(outcome="denied", message="403")))

    assert told.error.startswith("the app may not read the blobs of account 'blastdata': 403; grant")


@pytest.mark.parametrize(
    ("terms", "cure"),
    [
        (AccessTerms(mode=AccessMode.VNET, subnet_id="/s"), "network-rule add --account-name blastdata"),
        (AccessTerms(mode=AccessMode.WINDOW), "check the app's DNS"),
        (AccessTerms(), "set STORAGE_ACCESS_MODE to window"),
    ],
)
def test_an_app_that_is_shut_out_is_told_how_to_be_let_in(terms: AccessTerms, cure: str) -> None:
    opened = Access(account=a.ACCOUNT, before=CLOSED, terms=terms)
    blocked = Probe(outcome="blocked", message="403 AuthorizationFailure")
    told = tell(a.run(), answers(open_access=opened, probe_access=blocked))

    assert cure in told.error
    assert told.called[-3:] == ["close_access", "release_claims", "record_ending"]


def test_an_account_that_stays_closed_is_a_classified_failure() -> None:
    told = tell(a.run(), answers(probe_access=Probe(outcome="blocked", message="403 AuthorizationFailure")))

    assert told.error.startswith("account 'blastdata' cannot be read: blocked, 403")
    assert "describe_database" not in told.called


@pytest.mark.parametrize("where", ["read_cluster", "open_access", "describe_database", "apply_daemonset"])
def test_a_refusal_ends_the_run_with_its_cause_first(where: str) -> None:
    told = tell(a.run(), answers(**{where: REFUSAL}))

    assert told.output["status"] == "failed"
    assert told.error == "database 'x' is not staged; download it"
    assert "observe_nodes" not in told.called
    assert ("close_access" in told.called) == (where != "read_cluster")


@pytest.mark.parametrize("where", ["describe_database", "apply_daemonset"])
@pytest.mark.parametrize(("lasts", "ends"), [(30, "succeeded"), (60, "failed")])
def test_a_network_that_settles_within_half_a_minute_of_a_good_probe_fails_no_run(
    where: str, lasts: int, ends: str
) -> None:
    clock, healthy = Clock(), answers()
    settles_at: dict[str, datetime] = {}

    def perform(name: str, value: object) -> Any:
        """Shut out from the first such call on, for as long as that lasts."""
        if name == where:
            settled = clock.now >= settles_at.setdefault(name, clock.now + timedelta(seconds=lasts))
            if not settled:
                raise PassingError("blobs of account 'blastdata' cannot be read (403 AuthorizationFailure)")
        answer = healthy[name]
        return encode(answer(value) if callable(answer) else answer)

    story = Story(a.run(), perform, clock)
    story.tell_on()

    assert story.output["status"] == ends
    assert ("AuthorizationFailure" in story.output.get("error", "")) == (ends == "failed")
