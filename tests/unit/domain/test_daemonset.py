"""A plan as Kubernetes objects, compared with golden files; `UPDATE_GOLDEN=1` writes them anew."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit import builders as a

from shared.domain import naming
from shared.domain.daemonset import PodRules, Rollout, config_map, daemon_set, is_narrowed, narrowing
from shared.domain.model import Database, Engine, Mode, NodeSelection, StagedDatabase, WarmupPlan
from shared.domain.planning import Grounds, plan_warmup
from shared.domain.staging import MAX_MANIFEST_BYTES

GOLDEN = Path(__file__).parents[2] / "golden" / "daemonset"
AGENT_FOLDER = Path(__file__).parents[3] / "agent"
LARGE_BUNDLE_BYTES = 250_000  # every authority that a Linux distribution trusts
NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
AGENT = {"__init__.py": '"""The agent."""\n', "__main__.py": 'print("warm")\n'}
MANIFEST = '{"schema":1}'
RULES = PodRules(
    node_directory="/workspace",
    pause_image="mcr.microsoft.com/oss/kubernetes/pause:3.9",
    engine=Engine.RANGED,
    memory_limit="1Gi",
    ca_pem=None,
)


def plan(**changes: Any) -> WarmupPlan:
    grounds = Grounds(
        request=a.request(), cluster=a.facts(), account=a.ACCOUNT, databases=(a.STAGED,), now=NOON
    )
    planned = plan_warmup(grounds, a.KUBELET)
    assert isinstance(planned, WarmupPlan)
    return replace(planned, **changes)


def rollout(**changes: Any) -> Rollout:
    plain = Rollout(
        plan=plan(), staged=a.STAGED, run_id="0123456789abcdef0123456789abcdef", now=NOON, rules=RULES
    )
    return replace(plain, **changes)


def database(name: str, folder: str) -> Database:
    return Database(name=name, folder=folder)


CASES = {
    "small": (
        "a small plan: three nodes of a labelled pool, nothing optional",
        rollout(),
    ),
    "everything": (
        "a CA bundle, a ceiling, azcopy, a large pool, several taints and an excluded pool",
        rollout(
            plan=plan(
                max_mbps_per_node=250,
                node_count=40,
                mode=Mode.VERIFY,
                selection=NodeSelection(
                    labels=(),
                    excluded_pools=("agentpool", "system"),
                    tolerated_taints=("workload=blast:NoSchedule", "sku:NoExecute"),
                ),
            ),
            rules=replace(
                RULES, ca_pem="-----BEGIN CERTIFICATE-----\n", engine=Engine.AZCOPY, memory_limit="2Gi"
            ),
        ),
    ),
    "long-names": (
        "a nested database whose name is longer than any label, without a source version",
        rollout(
            staged=replace(
                a.STAGED, database=database("N" + "t" * 127, "custom_db/N" + "t" * 127), source_version=None
            )
        ),
    ),
}


def objects(given_rollout: Rollout) -> tuple[Any, Any]:
    configuration: Any = config_map(given_rollout, MANIFEST, AGENT)
    return configuration, daemon_set(given_rollout, configuration["metadata"]["name"], AGENT)


def pod_of(given_rollout: Rollout) -> Any:
    return objects(given_rollout)[1]["spec"]["template"]["spec"]


def environment(given_rollout: Rollout) -> dict[str, Any]:
    (init,) = pod_of(given_rollout)["initContainers"]
    return {entry["name"]: entry.get("value") for entry in init["env"]}


@pytest.mark.parametrize("name", CASES)
def test_the_objects_are_the_golden_ones(name: str) -> None:
    proves, given_rollout = CASES[name]
    configuration, warmup = objects(given_rollout)
    shown = {"proves": proves, "configMap": configuration, "daemonSet": warmup}
    file = GOLDEN / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(json.dumps(shown, indent=2) + "\n", encoding="utf-8")

    assert json.loads(file.read_text(encoding="utf-8")) == shown


@pytest.mark.parametrize("name", CASES)
def test_no_value_is_part_of_a_command(name: str) -> None:
    pod = pod_of(CASES[name][1])

    assert pod["initContainers"][0]["command"] == ["python3", "-B", "-m", "agent"]
    assert not any(container.get("args") for container in (*pod["initContainers"], *pod["containers"]))
    assert all("command" not in container for container in pod["containers"])


@pytest.mark.parametrize("name", CASES)
def test_every_container_is_locked_down(name: str) -> None:
    pod = pod_of(CASES[name][1])

    for container in (*pod["initContainers"], *pod["containers"]):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in security
        assert "add" not in security["capabilities"]
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", CASES)
def test_whatever_user_an_image_names_the_agent_is_root_and_the_pause_nobody(name: str) -> None:
    pod = pod_of(CASES[name][1])
    contexts = [container["securityContext"] for container in (*pod["initContainers"], *pod["containers"])]

    assert [security["runAsUser"] for security in contexts] == [0, 65535]
    assert [security["runAsNonRoot"] for security in contexts] == [False, True]


@pytest.mark.parametrize("name", CASES)
def test_a_pod_shares_nothing_with_its_node_but_the_workspace(name: str) -> None:
    pod = pod_of(CASES[name][1])

    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName", "shareProcessNamespace"} & set(pod)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert [volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume] == ["/workspace"]
    assert not [volume for volume in pod["volumes"] if "secret" in volume or "projected" in volume]


@pytest.mark.parametrize("name", CASES)
def test_only_the_workspace_and_the_scratch_folder_can_be_written(name: str) -> None:
    (init,) = pod_of(CASES[name][1])["initContainers"]

    writable = {mount["mountPath"] for mount in init["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/workspace", "/tmp"}  # noqa: S108 - the container's own


@pytest.mark.parametrize("name", CASES)
def test_taints_are_tolerated_by_name_never_all_of_them(name: str) -> None:
    assert all(
        toleration["key"] and toleration["effect"] for toleration in pod_of(CASES[name][1])["tolerations"]
    )


@pytest.mark.parametrize("name", CASES)
def test_what_a_pod_asks_for_all_its_life_is_small(name: str) -> None:
    pod = pod_of(CASES[name][1])

    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["resources"]["requests"] in (
            {"cpu": "50m", "memory": "64Mi"},
            {"cpu": "1m", "memory": "8Mi"},
        )


@pytest.mark.parametrize("name", CASES)
def test_names_and_labels_are_what_kubernetes_takes(name: str) -> None:
    configuration, warmup = objects(CASES[name][1])

    for thing in (configuration, warmup):
        assert len(thing["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in thing["metadata"]["labels"].values())
    assert warmup["spec"]["selector"]["matchLabels"] == warmup["spec"]["template"]["metadata"]["labels"]


def test_every_mounted_file_is_in_the_config_map() -> None:
    for _, given_rollout in CASES.values():
        configuration, warmup = objects(given_rollout)
        (volume,) = [v for v in warmup["spec"]["template"]["spec"]["volumes"] if "configMap" in v]
        assert {item["key"] for item in volume["configMap"]["items"]} == set(configuration["data"])
        assert volume["configMap"]["name"] == configuration["metadata"]["name"]


def test_another_run_makes_every_node_look_again() -> None:
    one, other = (objects(rollout(run_id=run_id))[1] for run_id in ("a" * 32, "b" * 32))

    assert one["spec"]["template"] != other["spec"]["template"]
    assert one["spec"]["selector"] == other["spec"]["selector"]
    assert one["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "100%"


def test_changed_content_is_another_config_map_and_the_same_content_the_same() -> None:
    names = [
        config_map(rollout(), manifest, agent)["metadata"]["name"]  # type: ignore[index] # an object in JSON
        for manifest, agent in ((MANIFEST, AGENT), (MANIFEST, AGENT), ("{}", AGENT), (MANIFEST, {}))
    ]

    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_the_largest_manifest_fits_beside_the_agent_and_a_bundle_of_certificates() -> None:
    modules = {file.name: file.read_text(encoding="utf-8") for file in AGENT_FOLDER.glob("*.py")}
    trusting = rollout(rules=replace(RULES, ca_pem="c" * LARGE_BUNDLE_BYTES))

    configuration: Any = config_map(trusting, "m" * MAX_MANIFEST_BYTES, modules)

    assert sum(len(text.encode()) for text in configuration["data"].values()) < 1 << 20


def test_the_same_rollout_makes_the_same_objects() -> None:
    assert objects(rollout()) == objects(rollout())


def test_optional_values_are_absent_where_nobody_set_them() -> None:
    assert not {"WARMUP_MAX_MBPS", "SSL_CERT_FILE"} & set(environment(rollout()))


def test_a_release_tells_no_node_where_blobs_are() -> None:
    told = environment(
        rollout(plan=plan(account=None, mode=Mode.RELEASE), staged=StagedDatabase.by_name(a.DATABASE))
    )
    assert "WARMUP_BLOB_ENDPOINT" not in told
    assert told["WARMUP_MODE"] == "release"


def test_a_large_pool_starts_spread_and_a_small_one_at_once() -> None:
    assert environment(rollout())["WARMUP_START_JITTER_SECONDS"] == "0"
    assert environment(rollout(plan=plan(node_count=13)))["WARMUP_START_JITTER_SECONDS"] == "20"


def agent_deadline(given_rollout: Rollout) -> datetime:
    return datetime.fromisoformat(str(environment(given_rollout)["WARMUP_DEADLINE"]))


@given(st.integers(10, 100_000))
def test_the_agent_gives_up_before_the_run_must(seconds: int) -> None:
    """Until its latest deadline a run may wait for a slow agent that gets on."""
    latest = plan().latest_deadline
    assert latest is not None
    late = rollout(now=latest - timedelta(seconds=seconds))

    assert late.now < agent_deadline(late) < latest
    assert agent_deadline(late) >= latest - timedelta(minutes=2)


def test_the_agent_gives_up_before_a_deadline_that_is_final() -> None:
    final = rollout(plan=plan(latest_deadline=None))

    assert agent_deadline(final) == final.plan.deadline - timedelta(minutes=2)


def test_every_environment_value_is_text() -> None:
    for _, given_rollout in CASES.values():
        values = environment(given_rollout)
        assert values.pop("WARMUP_NODE") is None  # it comes from the pod itself
        assert all(isinstance(value, str) for value in values.values())


def test_the_run_and_the_generation_are_written_where_a_look_finds_them() -> None:
    _, warmup = objects(rollout())

    for metadata in (warmup["metadata"], warmup["spec"]["template"]["metadata"]):
        assert metadata["annotations"][naming.RUN_ANNOTATION] == "0123456789abcdef0123456789abcdef"
        assert metadata["annotations"][naming.GENERATION_ANNOTATION] == a.STAGED.generation


def test_narrowed_to_warm_nodes_it_names_them_and_leaves_their_pods_alone() -> None:
    patch: Any = narrowing(("node1", "node0"), left_out=1)

    affinity = patch["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    # Kubernetes takes one name a term; terms are alternatives.
    assert [field["values"] for term in terms for field in term["matchFields"]] == [["node0"], ["node1"]]
    assert patch["spec"]["updateStrategy"] == {"type": "OnDelete", "rollingUpdate": None}
    assert patch["metadata"]["annotations"] == {naming.LEFT_OUT_ANNOTATION: "1"}


def test_only_what_was_narrowed_is_taken_for_narrowed() -> None:
    _, warmup = objects(rollout())

    assert not is_narrowed(warmup)
    assert is_narrowed({"spec": narrowing(("node0",), 1)["spec"]})
    assert warmup["metadata"]["annotations"][naming.LEFT_OUT_ANNOTATION] == "0"
