"""Names that outlive a process: unique, and what Kubernetes and Azure allow."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.builders import CLUSTER, DATABASE

from shared.domain import naming
from shared.domain.model import Cluster, Database

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
CONFIG_MAP_SUFFIX = "-" + "0" * 10
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)


def named(name: str) -> Database:
    return Database(name=name, folder=name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("core_nt", "warmup-core-nt"),
        ("nt", "warmup-nt"),
        ("16s_ribosomal_rna", "warmup-16s-ribosomal-rna"),
        ("core_nt_pathogen", "warmup-core-nt-pathogen"),
    ],
)
def test_a_plain_name_is_the_one_it_always_had(name: str, expected: str) -> None:
    assert naming.daemonset_name(named(name)) == expected


def test_names_that_would_fall_together_are_kept_apart() -> None:
    alike = ["core_nt", "core-nt", "Core_NT", "core.nt", "core__nt", "core_nt_", "core-nt-"]

    assert len({naming.daemonset_name(named(name)) for name in alike}) == len(alike)


def test_no_plain_name_can_imitate_a_hashed_one() -> None:
    hashed = naming.daemonset_name(named("Core.NT"))
    imitation = hashed.removeprefix("warmup-").replace("-", "_")

    assert naming.daemonset_name(named(imitation)) != hashed


@given(NAMES, NAMES)
def test_different_databases_have_different_names(one: str, other: str) -> None:
    names = {naming.daemonset_name(named(one)), naming.daemonset_name(named(other))}

    assert len(names) == len({one, other})


@given(NAMES)
def test_a_daemonset_name_leaves_room_for_the_controllers_suffix(name: str) -> None:
    daemonset = naming.daemonset_name(named(name))

    assert len(daemonset) <= naming.MAX_DAEMONSET_NAME
    assert DNS_LABEL.fullmatch(daemonset)
    assert DNS_LABEL.fullmatch(daemonset + CONFIG_MAP_SUFFIX)


@given(NAMES)
def test_a_label_value_is_one_that_kubernetes_takes(name: str) -> None:
    assert LABEL_VALUE.fullmatch(naming.label_value(named(name)))


def test_a_label_is_the_exact_name_wherever_that_is_allowed() -> None:
    assert naming.label_value(named("Core.NT_1")) == "Core.NT_1"
    assert naming.label_value(named("core_nt_")) != "core_nt_"


def test_a_claim_is_the_same_in_whatever_case_azure_names_are_written() -> None:
    shouted = Cluster(
        subscription_id=CLUSTER.subscription_id.upper(),
        resource_group=CLUSTER.resource_group.upper(),
        name=CLUSTER.name.upper(),
    )

    assert naming.claim_name(shouted, DATABASE) == naming.claim_name(CLUSTER, DATABASE)


def test_a_claim_lies_in_a_folder_of_its_cluster() -> None:
    assert naming.claim_name(CLUSTER, DATABASE) == (
        "claims/11111111-2222-3333-4444-555555555555/rg-elb/elb-cluster/core_nt.json"
    )


def test_an_instance_id_is_thirty_two_hexadecimal_digits_that_follow_from_the_question() -> None:
    asked = naming.instance_id("core_nt", "request-1")

    assert re.fullmatch(r"[0-9a-f]{32}", asked)
    assert naming.instance_id("core_nt", "request-1") == asked


@given(st.text(max_size=20), st.text(max_size=20))
def test_another_nonce_is_another_run(one: str, other: str) -> None:
    ids = {naming.instance_id("core_nt", nonce) for nonce in (one, other)}

    assert len(ids) == len({one, other})
