from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import watch
from kubernetes.client import ApiException
from testkit.workloads import Clients, clients, daemon_set, pod, pod_spec, raw, shell, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from testkit.cluster import Cluster

Json = dict[str, Any]


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> Json:
    """The Status that a call is refused with."""
    with pytest.raises(ApiException) as caught:
        call(*arguments, **options)
    status: Json = json.loads(caught.value.body)
    assert status["code"] == caught.value.status
    return status


def config_map(name: str, **more: Any) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


def make(k8s: Clients, namespace: str, *names: str, **labels: str) -> None:
    for name in names:
        body = config_map(name)
        body["metadata"]["labels"] = labels
        k8s.core.create_namespaced_config_map(namespace, body)


def names(found: Json) -> list[str]:
    return [item["metadata"]["name"] for item in found["items"]]


def test_without_a_token_nobody_gets_in(cluster: Cluster) -> None:
    with clients(cluster.kubeconfig) as anonymous:
        anonymous.api.configuration.api_key.clear()
        status = refusal(anonymous.core.list_node)
    assert (status["code"], status["reason"], status["message"]) == (401, "Unauthorized", "Unauthorized")


def test_a_reader_may_look_and_not_touch(cluster: Cluster, namespace: str) -> None:
    with clients(cluster.reader_kubeconfig) as reader:
        assert len(reader.core.list_node().items) == 3
        body = daemon_set("d", pod_spec([]))
        status = refusal(reader.apps.create_namespaced_daemon_set, namespace, body)
    assert status["reason"] == "Forbidden"
    assert status["message"] == (
        'daemonsets.apps is forbidden: User "reader" cannot create resource "daemonsets" in API group "apps" '
        f'in the namespace "{namespace}"'
    )


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("tier=a", ["one", "two"]),
        ("tier!=a", ["three"]),
        ("tier in (a, b),app", ["one", "two"]),
        ("!tier", ["three"]),
        ("tier notin (a)", ["three"]),
    ],
)
def test_label_selectors(k8s: Clients, namespace: str, selector: str, expected: list[str]) -> None:
    make(k8s, namespace, "one", "two", tier="a", app="x")
    make(k8s, namespace, "three")
    found = raw(k8s.core.list_namespaced_config_map, namespace, label_selector=selector)
    assert sorted(names(found)) == sorted(expected)


def test_field_selectors(k8s: Clients, namespace: str) -> None:
    make(k8s, namespace, "one", "two")
    found = raw(k8s.core.list_namespaced_config_map, namespace, field_selector="metadata.name!=one")
    assert names(found) == ["two"]


def test_pages_of_one_list_agree_with_each_other(k8s: Clients, namespace: str) -> None:
    make(k8s, namespace, "a", "b", "c", "d", "e")
    first = raw(k8s.core.list_namespaced_config_map, namespace, limit=2)
    make(k8s, namespace, "aa")
    assert names(first) == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 3
    token = first["metadata"]["continue"]
    second = raw(k8s.core.list_namespaced_config_map, namespace, limit=2, _continue=token)
    assert names(second) == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    last = raw(
        k8s.core.list_namespaced_config_map, namespace, limit=2, _continue=second["metadata"]["continue"]
    )
    assert names(last) == ["e"]
    assert "continue" not in last["metadata"]


def test_a_token_of_nobody_is_refused(k8s: Clients, namespace: str) -> None:
    status = refusal(k8s.core.list_namespaced_config_map, namespace, limit=2, _continue="nonsense")
    assert status["code"] == 400


def test_a_watch_continues_where_a_list_ended(k8s: Clients, namespace: str) -> None:
    make(k8s, namespace, "before")
    listed = raw(k8s.core.list_namespaced_config_map, namespace)
    make(k8s, namespace, "after", tier="a")
    k8s.core.patch_namespaced_config_map("after", namespace, {"metadata": {"labels": {"tier": "b"}}})
    k8s.core.delete_namespaced_config_map("after", namespace)
    seen = [
        (event["type"], event["raw_object"]["metadata"]["name"])
        for event in watch.Watch().stream(
            k8s.core.list_namespaced_config_map,
            namespace,
            resource_version=listed["metadata"]["resourceVersion"],
            timeout_seconds=1,
        )
    ]
    assert seen == [("ADDED", "after"), ("MODIFIED", "after"), ("DELETED", "after")]


def test_an_object_that_leaves_a_selection_is_told_as_deleted(k8s: Clients, namespace: str) -> None:
    listed = raw(k8s.core.list_namespaced_config_map, namespace)
    make(k8s, namespace, "x", tier="a")
    k8s.core.patch_namespaced_config_map("x", namespace, {"metadata": {"labels": {"tier": "b"}}})
    stream = watch.Watch().stream(
        k8s.core.list_namespaced_config_map,
        namespace,
        label_selector="tier=a",
        resource_version=listed["metadata"]["resourceVersion"],
        timeout_seconds=1,
    )
    assert [event["type"] for event in stream] == ["ADDED", "DELETED"]


def test_patches_of_each_kind(cluster: Cluster, k8s: Clients, namespace: str) -> None:
    k8s.core.create_namespaced_config_map(namespace, config_map("c", data={"a": "1", "b": "2"}))

    def patched(body: object, kind: str) -> Any:
        path = f"/api/v1/namespaces/{namespace}/configmaps/c"
        answer = cluster.ask("PATCH", path, body, Content_Type=f"application/{kind}+json")
        return answer.body.get("data", answer.code)

    assert patched({"data": {"a": None}}, "merge-patch") == {"b": "2"}
    assert patched({"data": {"c": "3"}}, "strategic-merge-patch") == {"b": "2", "c": "3"}
    operations = [{"op": "remove", "path": "/data/b"}, {"op": "add", "path": "/data/d~1e", "value": "4"}]
    # A slash is no part of a key; nothing of a refused patch is kept.
    assert patched(operations, "json-patch") == 422
    assert patched(operations[:1], "json-patch") == {"c": "3"}
    assert patched({}, "nonsense") == 415


def apply(k8s: Clients, namespace: str, body: Json, manager: str, *, force: bool = False) -> Any:
    answer = k8s.apps.patch_namespaced_daemon_set(
        "d",
        namespace,
        body,
        field_manager=manager,
        force=force,
        _content_type="application/apply-patch+yaml",
        _preload_content=False,
    )
    return answer.status, json.loads(answer.data)


def test_server_side_apply_creates_changes_and_removes(k8s: Clients, namespace: str) -> None:
    body = daemon_set("d", pod_spec([shell("true", env=[{"name": "A", "value": "1"}])]))
    body["metadata"]["labels"]["gone"] = "soon"
    status, made = apply(k8s, namespace, body, "us")
    assert status == 201
    status, same = apply(k8s, namespace, body, "us", force=True)
    assert (status, same["metadata"]["resourceVersion"] >= made["metadata"]["resourceVersion"]) == (200, True)
    assert same["metadata"]["generation"] == 1
    del body["metadata"]["labels"]["gone"]
    body["spec"]["template"]["spec"]["initContainers"][0]["env"] = [{"name": "B", "value": "2"}]
    _, changed = apply(k8s, namespace, body, "us")
    assert "gone" not in changed["metadata"]["labels"]
    assert changed["spec"]["template"]["spec"]["initContainers"][0]["env"] == [{"name": "B", "value": "2"}]
    assert changed["metadata"]["generation"] == 2


def test_what_another_manager_applied_is_a_conflict_unless_forced(k8s: Clients, namespace: str) -> None:
    body = daemon_set("d", pod_spec([]))
    apply(k8s, namespace, body, "them")
    body["metadata"]["labels"]["app"] = "other"
    status = refusal(apply, k8s, namespace, body, "us")
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "them": .metadata.labels.app'
    code, forced = apply(k8s, namespace, body, "us", force=True)
    assert (code, forced["metadata"]["labels"]["app"]) == (200, "other")


def test_a_second_deletion_waits_for_nothing_but_is_never_done_at_a_version(
    k8s: Clients, namespace: str
) -> None:
    owner = k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", pod_spec([])))
    reference = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": owner.metadata.uid}
    held = {"ownerReferences": [{**reference, "blockOwnerDeletion": True}], "finalizers": ["test.io/hold"]}
    k8s.core.create_namespaced_config_map(namespace, {"metadata": {"name": "held", **held}})
    going = raw(k8s.apps.delete_namespaced_daemon_set, "d", namespace, propagation_policy="Foreground")
    exactly = {"preconditions": {"resourceVersion": going["metadata"]["resourceVersion"]}}

    status = refusal(k8s.apps.delete_namespaced_daemon_set, "d", namespace, body=exactly)
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert "Precondition failed: ResourceVersion in precondition: , " in status["message"]

    k8s.apps.delete_namespaced_daemon_set("d", namespace)
    assert refusal(k8s.apps.read_namespaced_daemon_set, "d", namespace)["code"] == 404
    k8s.core.patch_namespaced_config_map("held", namespace, {"metadata": {"finalizers": None}})


def test_a_dry_run_keeps_nothing(k8s: Clients, namespace: str) -> None:
    answer = k8s.core.create_namespaced_config_map(namespace, config_map("c"), dry_run="All")
    assert answer.metadata.uid
    assert refusal(k8s.core.read_namespaced_config_map, "c", namespace)["code"] == 404


def test_an_immutable_config_map_stays_what_it_was(k8s: Clients, namespace: str) -> None:
    k8s.core.create_namespaced_config_map(namespace, config_map("c", immutable=True, data={"a": "1"}))
    status = refusal(k8s.core.patch_namespaced_config_map, "c", namespace, {"data": {"a": "2"}})
    assert status["code"] == 422
    assert status["details"]["causes"][0]["field"] == "data"
    labelled = {"metadata": {"labels": {"x": "y"}}}
    assert k8s.core.patch_namespaced_config_map("c", namespace, labelled).metadata.labels == {"x": "y"}


def test_a_config_map_holds_a_mebibyte_at_most(k8s: Clients, namespace: str) -> None:
    fits, too_much = "x" * 2**20, "x" * (2**20 + 1)
    k8s.core.create_namespaced_config_map(namespace, config_map("fits", data={"k": fits}))
    status = refusal(
        k8s.core.create_namespaced_config_map, namespace, config_map("more", data={"k": too_much})
    )
    assert (status["code"], status["details"]["causes"][0]["reason"]) == (422, "FieldValueTooLong")


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"spec": None}, 422, "spec.selector: Required value"),
        ({"spec": []}, 400, "cannot unmarshal array"),
        ({"metadata": {"name": "d", "labels": {"a": 1}}}, 400, "cannot unmarshal number"),
        ({"metadata": {}}, 400, "name or generateName is required"),
        ({"kind": "Pod"}, 400, "Kind=Pod"),
    ],
)
def test_malformed_objects_get_an_answer(
    cluster: Cluster, namespace: str, change: Json, code: int, told: str
) -> None:
    body = {**daemon_set("d", pod_spec([])), **change}
    answer = cluster.ask("POST", f"/apis/apps/v1/namespaces/{namespace}/daemonsets", body)
    assert (answer.code, answer.body["code"]) == (code, code)
    assert told in answer.body["message"]


TOLD = (
    'unknown field "spec.template.spec.containers[0].imagee", unknown field "spec.template.spec.tolerationz"'
)


def misspelt(name: str) -> Json:
    body = daemon_set(name, {**pod_spec([]), "tolerationz": []})
    body["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    return body


def test_an_unknown_field_is_refused_where_the_request_is_strict(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets"
    answer = cluster.ask("POST", f"{path}?fieldValidation=Strict", misspelt("strict"))
    assert (answer.code, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"] == (
        f'DaemonSet in version "v1" cannot be handled as a DaemonSet: strict decoding error: {TOLD}'
    )
    assert cluster.ask("GET", f"{path}/strict").code == 404


@pytest.mark.parametrize(
    ("policy", "warned"), [("", True), ("?fieldValidation=Warn", True), ("?fieldValidation=Ignore", False)]
)
def test_an_unknown_field_is_pruned_and_told_of(
    cluster: Cluster, namespace: str, policy: str, *, warned: bool
) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets"
    answer = cluster.ask("POST", f"{path}{policy}", misspelt("pruned"))
    assert answer.code == 201
    spec = cluster.ask("GET", f"{path}/pruned").body["spec"]["template"]["spec"]
    assert "tolerationz" not in spec
    assert "imagee" not in spec["containers"][0]
    assert answer.warnings == (tuple(f"299 - {json.dumps(each)}" for each in TOLD.split(", ")) * warned)


def test_a_strict_patch_and_every_apply_refuse_an_unknown_field(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets/d"
    assert cluster.ask("POST", path.removesuffix("/d"), daemon_set("d", pod_spec([]))).code == 201
    typo: Json = {"spec": {"template": {"spec": {"tolerationz": []}}}}
    patched = cluster.ask(
        "PATCH", f"{path}?fieldValidation=Strict", typo, Content_Type="application/merge-patch+json"
    )
    assert patched.code == 422
    assert 'strict decoding error: unknown field "spec.template.spec.tolerationz"' in patched.body["message"]
    applied = cluster.ask(
        "PATCH",
        f"{path}?fieldManager=me",
        {"apiVersion": "apps/v1", "kind": "DaemonSet", **typo},
        Content_Type="application/apply-patch+yaml",
    )
    assert applied.code == 500
    assert ".spec.template.spec.tolerationz: field not declared in schema" in applied.body["message"]


@pytest.mark.parametrize("body", [["no", "pod"], "text", 7, None])
def test_a_body_that_is_no_object_is_refused(cluster: Cluster, namespace: str, body: object) -> None:
    assert cluster.ask("POST", f"/api/v1/namespaces/{namespace}/pods", body).code == 400


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/secretsauce", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/exec", 404),
        ("POST", "/api/v1/namespaces/default/pods/x", 405),
        ("PUT", "/api/v1/namespaces/default/pods", 405),
        ("GET", "/api/v1/pods?limit=many", 400),
        ("GET", "/api/v1/pods?fieldSelector=nonsense", 400),
        ("GET", "/api/v1/pods?fieldSelector=status.bogus%3D1", 400),
        ("POST", "/api/v1/namespaces/default/pods?fieldValidation=Sometimes", 400),
        ("DELETE", "/api/v1/namespaces/default/pods/x?propagationPolicy=Sideways", 400),
        ("GET", "/control/state", 404),
    ],
)
def test_requests_that_make_no_sense_get_a_status(
    cluster: Cluster, method: str, path: str, code: int
) -> None:
    answer = cluster.ask(method, path, {} if method in {"POST", "PUT"} else None)
    assert (answer.code, answer.body["kind"], answer.body["status"]) == (code, "Status", "Failure")


def test_a_namespace_that_is_not_there_is_not_made(k8s: Clients) -> None:
    status = refusal(k8s.core.create_namespaced_config_map, "nowhere", config_map("c"))
    assert status["message"] == 'namespaces "nowhere" not found'


def test_jobs_are_stored_and_listed(k8s: Clients, namespace: str) -> None:
    template = {"spec": {"containers": [shell("true")], "restartPolicy": "Never"}}
    body = {"metadata": {"name": "init-ssd-0", "labels": {"app": "setup"}}, "spec": {"template": template}}
    k8s.batch.create_namespaced_job(namespace, body)
    found = k8s.batch.list_namespaced_job(namespace, label_selector="app=setup").items
    assert [job.metadata.name for job in found] == ["init-ssd-0"]


def test_a_job_says_that_it_never_runs(k8s: Clients, namespace: str) -> None:
    template = {"spec": {"containers": [shell("true")], "restartPolicy": "Never"}}
    made = k8s.batch.create_namespaced_job(
        namespace, {"metadata": {"name": "j"}, "spec": {"template": template}}
    )
    about = f"involvedObject.uid={made.metadata.uid}"
    (event,) = raw(k8s.core.list_namespaced_event, namespace, field_selector=about)["items"]
    assert (event["type"], event["reason"]) == ("Warning", "NotRun")
    assert "Jobs are kept here and never run" in event["message"]


def test_a_secret_gives_its_plain_text_back_encoded(k8s: Clients, namespace: str) -> None:
    body = {"metadata": {"name": "s"}, "stringData": {"k": "v"}}
    k8s.core.create_namespaced_secret(namespace, body)
    assert k8s.core.read_namespaced_secret("s", namespace).data == {"k": "dg=="}


def test_the_server_describes_itself(cluster: Cluster) -> None:
    assert cluster.ask("GET", "/version").body["minor"] == "34"
    groups = [group["name"] for group in cluster.ask("GET", "/apis").body["groups"]]
    assert groups == ["admissionregistration.k8s.io", "apps", "batch"]
    kinds = {entry["kind"] for entry in cluster.ask("GET", "/api/v1").body["resources"]}
    assert kinds == {"Pod", "Node", "ConfigMap", "Secret", "Event", "Namespace", "ServiceAccount"}


def test_a_table_is_made_for_kubectl(cluster: Cluster, k8s: Clients, namespace: str) -> None:
    k8s.core.create_namespaced_pod(namespace, pod("p", pod_spec([])))
    wait_for(lambda: k8s.core.read_namespaced_pod("p", namespace).status.phase == "Running", "the pod")
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    found = cluster.ask("GET", f"/api/v1/namespaces/{namespace}/pods", Accept=accept).body
    assert found["kind"] == "Table"
    assert found["rows"][0]["cells"][:4] == ["p", "1/1", "Running", "0"]


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_a_namespace_of_the_cluster_itself_may_not_be_deleted(k8s: Clients, name: str) -> None:
    status = refusal(k8s.core.delete_namespace, name)
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert status["message"] == f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    assert k8s.core.read_namespace(name).status.phase == "Active"


def test_a_namespace_takes_everything_in_it_along(k8s: Clients) -> None:
    k8s.core.create_namespace({"metadata": {"name": "doomed"}})
    make(k8s, "doomed", "one")
    k8s.core.create_namespaced_pod("doomed", pod("p", pod_spec([])))
    k8s.core.delete_namespace("doomed")
    wait_for(lambda: "doomed" not in [n.metadata.name for n in k8s.core.list_namespace().items], "its end")
    assert k8s.core.list_namespaced_config_map("doomed").items == []
