"""Why nodes are not warm, grouped for somebody who must act."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.causes import (
    MAX_CAUSES,
    MAX_MESSAGE,
    PASSING,
    REMEDIES,
    Cause,
    Kind,
    cause_of,
    group,
    shut_out,
)
from shared.domain.model import AccessMode, AccessTerms

KINDS = st.sampled_from(Kind)
CAUSES = st.builds(cause_of, KINDS, st.text(max_size=400), st.text(max_size=20), st.text(max_size=400))


def test_every_kind_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Kind)
    assert all(REMEDIES.values())


def test_what_no_waiting_cures_does_not_pass() -> None:
    assert {
        Kind.BAD_MANIFEST,
        Kind.DISK_FULL,
        Kind.NOT_FOUND,
        Kind.CHANGED,
        Kind.DAMAGED,
        Kind.POD_REFUSED,
    }.isdisjoint(PASSING)


def test_a_sharper_remedy_wins_over_ours() -> None:
    assert cause_of(Kind.DISK_FULL, "full", "n").remedy == REMEDIES[Kind.DISK_FULL]
    assert cause_of(Kind.DISK_FULL, "full", "n", "free 3 GB").remedy == "free 3 GB"


def test_a_cause_is_told_before_where_and_what_to_do() -> None:
    one = cause_of(Kind.DISK_FULL, "the disk is 3 GB short", "node2", "free it")

    assert one.sentence == "the disk is 3 GB short (on node2); free it"


def test_a_cause_of_many_nodes_is_told_once_with_their_number() -> None:
    (cause,) = group(cause_of(Kind.DISK_FULL, f"short on {n}", f"node{n}", "free it") for n in range(1000))

    assert cause.sentence == "short on 0 (on 1000 nodes, node0 among them); free it"


def test_the_most_frequent_cause_comes_first_and_ties_are_settled_by_name() -> None:
    kinds = [Kind.NETWORK, Kind.DISK_FULL, Kind.BUSY, Kind.NETWORK]

    assert [c.kind for c in group(cause_of(k, "m", "n") for k in kinds)] == [
        Kind.NETWORK,
        Kind.BUSY,
        Kind.DISK_FULL,
    ]


@given(st.lists(CAUSES, max_size=40))
def test_grouping_counts_every_cause_of_the_kinds_it_shows(causes: list[Cause]) -> None:
    grouped = group(causes)

    assert len(grouped) == min(MAX_CAUSES, len({cause.kind for cause in causes}))
    for shown in grouped:
        assert shown.count == sum(cause.kind is shown.kind for cause in causes)
        assert len(shown.message) <= MAX_MESSAGE
        assert len(shown.remedy) <= MAX_MESSAGE


SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/vnet-a/subnets/nodes"


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        (AccessTerms(mode=AccessMode.VNET, subnet_id=SUBNET), "only subnet vnet-a/nodes is admitted"),
        (AccessTerms(mode=AccessMode.WINDOW), "open to every network now"),
        (AccessTerms(), "set STORAGE_ACCESS_MODE"),
    ],
)
def test_a_node_that_is_shut_out_is_told_by_whom(terms: AccessTerms, told: str) -> None:
    closed = cause_of(Kind.STORAGE_CLOSED, "403", "n1")

    assert told in shut_out(closed, terms).remedy
    assert shut_out(cause_of(Kind.NETWORK, "reset", "n1"), terms).remedy == REMEDIES[Kind.NETWORK]
