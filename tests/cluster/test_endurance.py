from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testkit.cluster import Asked, Cluster, running_cluster
from testkit.workloads import Clients, clients, daemon_set, pod_spec, raw, shell, state_of, wait_for

if TYPE_CHECKING:
    import pytest

Json = dict[str, Any]


def sleeper(cluster_root: Path) -> Json:
    """An init container that never ends, and whose command line is known by the cluster's folder."""
    return shell(f"exec -a {mark(cluster_root)} sleep 600")


def mark(root: Path) -> str:
    return f"sleeper-of-{root.name}-{root.parent.name}"


def processes(root: Path) -> list[str]:
    """Processes of the host that carry the mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_text().replace("\0", " ")
        except OSError:
            continue
        if command.startswith(mark(root)):
            found.append(command)
    return found


def only_pod(k8s: Clients) -> Json:
    items: list[Json] = raw(k8s.core.list_namespaced_pod, "default")["items"]
    return items[0] if items else {"status": {}}


def start_sleeper(cluster: Cluster) -> None:
    with clients(cluster.kubeconfig) as k8s:
        spec = pod_spec([sleeper(cluster.root)])
        k8s.apps.create_namespaced_daemon_set("default", daemon_set("d", spec))
        wait_for(lambda: processes(cluster.root), "the process")


def test_sigterm_ends_everything(tmp_path: Path) -> None:
    with running_cluster(tmp_path, Asked(nodes=1)) as cluster:
        start_sleeper(cluster)
    assert cluster.process.returncode == 0
    assert processes(tmp_path) == []


def test_no_process_outlives_a_killed_cluster_and_its_pods_come_back(tmp_path: Path) -> None:
    with running_cluster(tmp_path, Asked(nodes=1)) as cluster:
        start_sleeper(cluster)
        state = tmp_path / "cluster" / "state.json"
        wait_for(lambda: '"running"' in state.read_text(), "a snapshot")
        cluster.process.kill()
        cluster.process.wait()
        wait_for(lambda: processes(tmp_path) == [], "the end of every process")
    with running_cluster(tmp_path, Asked(nodes=1)) as again, clients(again.kubeconfig) as k8s:
        wait_for(lambda: processes(tmp_path), "the process")
        found = state_of(only_pod(k8s))
        assert (found["restartCount"], found["lastState"]["terminated"]["exitCode"]) == (1, 137)


def test_damaged_state_is_set_aside_and_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "cluster"
    folder.mkdir()
    (folder / "state.json").write_text('{"version": 7, "items": [')
    with running_cluster(tmp_path, Asked(nodes=1)) as cluster, clients(cluster.kubeconfig) as k8s:
        assert len(k8s.core.list_node().items) == 1
    assert (folder / "state.damaged").exists()
    assert "damaged" in capfd.readouterr().err


def test_tokens_and_objects_survive_a_restart(tmp_path: Path) -> None:
    with running_cluster(tmp_path, Asked(nodes=1)) as cluster, clients(cluster.kubeconfig) as k8s:
        k8s.core.create_namespaced_config_map("default", {"metadata": {"name": "kept"}, "data": {"a": "1"}})
        token, version = cluster.admin_token, raw(k8s.core.list_node)["metadata"]["resourceVersion"]
    with running_cluster(tmp_path, Asked(nodes=1)) as again, clients(again.kubeconfig) as k8s:
        assert again.admin_token == token
        assert k8s.core.read_namespaced_config_map("kept", "default").data == {"a": "1"}
        old = again.ask("GET", f"/api/v1/configmaps?watch=true&resourceVersion={int(version) - 1}")
        assert (old.body["type"], old.body["object"]["code"]) == ("ERROR", 410)


def test_a_thousand_simulated_nodes_are_warm_and_listed_by_pages(tmp_path: Path) -> None:
    asked = Asked(nodes=0, simulated_nodes=1000, control=True)
    with running_cluster(tmp_path, asked) as cluster, clients(cluster.kubeconfig) as k8s:
        cluster.control("PUT", "simulation", {"termination_message": '{"run_id": "$(RUN)"}'})
        spec = pod_spec([shell("true", env=[{"name": "RUN", "value": "r1"}])])
        k8s.apps.create_namespaced_daemon_set("default", daemon_set("d", spec))
        wait_for(lambda: number_ready(k8s) == 1000, "a thousand ready pods")
        token, found = "", []
        while True:
            page = raw(k8s.core.list_namespaced_pod, "default", limit=250, _continue=token)
            found += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                break
    assert len({item["spec"]["nodeName"] for item in found}) == 1000
    assert state_of(found[0])["state"]["terminated"]["message"] == '{"run_id": "r1"}'


def number_ready(k8s: Clients) -> int:
    return int(raw(k8s.apps.read_namespaced_daemon_set, "d", "default")["status"]["numberReady"])


def test_a_machine_without_bubblewrap_is_told_the_remedy(tmp_path: Path) -> None:
    arguments = ["--root", str(tmp_path), "--cert", "c", "--key", "k", "--ca", "a"]
    found = subprocess.run(
        [sys.executable, "-m", "local.cluster", *arguments],
        env={"PATH": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr == "no cluster: bubblewrap is missing; install it: apt-get install bubblewrap\n"


def test_a_file_of_images_that_holds_none_is_told(tmp_path: Path) -> None:
    images = tmp_path / "images.json"
    images.write_text("{}")
    arguments = ["--root", str(tmp_path), "--cert", "c", "--key", "k", "--ca", "a", "--images", str(images)]
    found = subprocess.run(
        [sys.executable, "-m", "local.cluster", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert "must hold a JSON list of image patterns" in found.stderr
