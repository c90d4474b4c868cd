from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from local import clusters, kubeconfigs
from local.kubeconfigs import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

NOBODY = "https://127.0.0.1:1"


def written(folder: Path, user: Json | None = None, contexts: int = 1, **cluster: Any) -> Path:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": NOBODY, **cluster}}],
        "users": [{"name": "u", "user": {"token": "t"} if user is None else user}],
        "contexts": [{"name": f"x{n}", "context": {"cluster": "c", "user": "u"}} for n in range(contexts)],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    return file


def test_files_that_it_names_are_put_into_it(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("authority")
    (tmp_path / "token").write_text("secret\n")
    file = written(tmp_path, {"tokenFile": "token"}, 1, **{"certificate-authority": "ca.pem"})

    whole = yaml.safe_load(kubeconfigs.read(str(file)))

    encoded = base64.b64encode(b"authority").decode()
    assert whole["clusters"][0]["cluster"] == {"server": NOBODY, "certificate-authority-data": encoded}
    assert whole["users"][0]["user"] == {"token": "secret"}


def test_of_several_contexts_the_current_one_is_used(tmp_path: Path) -> None:
    document = {
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example"}} for name in "ab"],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "u"}} for name in "ab"],
        "current-context": "b",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))

    whole = yaml.safe_load(kubeconfigs.read(str(tmp_path / "kubeconfig")))

    assert whole["clusters"][0]["cluster"]["server"] == "https://b.example"


@pytest.mark.parametrize(
    ("user", "contexts", "cluster", "told"),
    [
        (None, 2, {}, "the contexts x0, x1, and none is current; write one out: `kubectl config view"),
        (
            {"exec": {"command": "kubelogin"}},
            1,
            {},
            "signs in by exec; give one with a token or a certificate",
        ),
        ({}, 1, {}, "signs in by nothing"),
        (None, 1, {"insecure-skip-tls-verify": True}, "says insecure-skip-tls-verify"),
        (None, 1, {"proxy-url": "http://proxy"}, "says proxy-url"),
        (None, 1, {"server": "http://plain.example"}, "https servers only"),
        (None, 1, {"certificate-authority": "nowhere.pem"}, "nowhere.pem, which cannot be read"),
    ],
)
def test_what_cannot_be_handed_out_is_refused_with_what_to_do(
    tmp_path: Path, user: Json | None, contexts: int, cluster: Json, told: str
) -> None:
    with pytest.raises(ClusterError) as caught:
        kubeconfigs.read(str(written(tmp_path, user, contexts, **cluster)))

    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("", "needs KUBECONFIG"),
        ("/a:/b", "names several files"),
        ("/nowhere/kubeconfig", "cannot be read: No such file"),
    ],
)
def test_a_path_that_is_no_kubeconfigs_is_refused(path: str, told: str) -> None:
    with pytest.raises(ClusterError, match=told):
        kubeconfigs.read(path)


@pytest.mark.parametrize("text", ["", "[]", "clusters: 7", "{", "contexts: [{}]"])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)

    with pytest.raises(ClusterError, match="is no kubeconfig"):
        kubeconfigs.read(str(file))


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"STACK_CLUSTER": "kind"}, "CLUSTER is 'kind'; there are embedded, the default, and kubeconfig"),
        ({"STACK_CLUSTER": "kubeconfig", "KUBECONFIG": "/nowhere"}, "needs STACK_IMAGE"),
        ({"STACK_NODES": "0"}, "STACK_NODES is '0'; give a number from 1 to 20"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(environ: dict[str, str], told: str) -> None:
    with pytest.raises(ClusterError) as caught:
        clusters.chosen(environ)

    assert told in str(caught.value)


def test_a_cluster_that_does_not_answer_is_refused_by_its_address(tmp_path: Path) -> None:
    environ = {
        "STACK_CLUSTER": "kubeconfig",
        "KUBECONFIG": str(written(tmp_path)),
        "STACK_IMAGE": "python:3.11",
    }
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1 cannot be reached"):
        clusters.chosen(environ)
