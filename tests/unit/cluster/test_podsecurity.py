from __future__ import annotations

from typing import Any

import pytest

from local.cluster.podsecurity import check

Json = dict[str, Any]

HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def told(level: str, *containers: Json, **spec: Any) -> str | None:
    namespace = {"metadata": {"name": "n", "labels": {"pod-security.kubernetes.io/enforce": level}}}
    named = [{"name": f"c{number}", **each} for number, each in enumerate(containers)]
    refusal = check(namespace, {"metadata": {"name": "p"}, "spec": {"containers": named, **spec}})
    return None if refusal is None else refusal.message.partition(f'"{level}:latest": ')[2]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        ({"volumes": [{"name": "a", "hostPath": {}}]}, 'hostPath volumes (volume "a")'),
        (
            {"volumes": [{"name": "a", "hostPath": {}}, {"name": "b", "hostPath": {}}]},
            'hostPath volumes (volumes "a", "b")',
        ),
        ({"volumes": [{"name": "a", "emptyDir": {}}]}, None),
    ],
)
def test_what_a_pod_takes_from_its_node_is_beyond_baseline(spec: Json, expected: str | None) -> None:
    assert told("baseline", {}, **spec) == expected


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (
            {"securityContext": {"privileged": True}},
            'privileged (container "c0" must not set securityContext.privileged=true)',
        ),
        ({"ports": [{"containerPort": 80, "hostPort": 81}]}, 'hostPort (container "c0" uses hostPort 81)'),
        (
            {"securityContext": {"capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}}},
            (
                'non-default capabilities (container "c0" must not include "SYS_ADMIN" in '
                "securityContext.capabilities.add)"
            ),
        ),
        ({}, None),
    ],
)
def test_what_a_container_takes_is_beyond_baseline(container: Json, expected: str | None) -> None:
    assert told("baseline", container) == expected


def test_restricted_wants_every_container_hardened() -> None:
    assert told("restricted", {"securityContext": HARDENED}) is None
    assert told("restricted", {}, {}) == (
        'allowPrivilegeEscalation != false (containers "c0", "c1" must set '
        "securityContext.allowPrivilegeEscalation=false), "
        'unrestricted capabilities (containers "c0", "c1" must set '
        'securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or containers "c0", "c1" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or containers "c0", "c1" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")'
    )


def test_restricted_names_the_kinds_of_volumes_that_it_does_not_take() -> None:
    expected = (
        'hostPath volumes (volume "a"), '
        'restricted volume types (volume "a" uses restricted volume type "hostPath")'
    )
    volumes = [{"name": "a", "hostPath": {}}]
    assert told("restricted", {"securityContext": HARDENED}, volumes=volumes) == expected


def test_root_is_not_restricted_even_where_the_pod_says_so() -> None:
    expected = "runAsUser=0 (pod must not set runAsUser=0)"
    assert told("restricted", {"securityContext": HARDENED}, securityContext={"runAsUser": 0}) == expected
