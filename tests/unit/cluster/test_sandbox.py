from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.cluster.nodes.images import is_pause, load_images
from local.cluster.nodes.sandbox import Process, Toolbox, command_line
from local.cluster.nodes.volumes import Mount

TOOLBOX = Toolbox(binds=((Path("/opt/azcopy"), "/usr/local/bin/azcopy"),), links=())


def process(*, read_only_root: bool = True, keep_capabilities: bool = False) -> Process:
    return Process(
        argv=["python3", "-m", "agent"],
        environment={"A": "1"},
        working_directory="/opt/warmup",
        mounts=[
            Mount(source=Path("/node/workspace"), target="/workspace", read_only=False),
            Mount(source=Path("/volumes/code"), target="/opt/warmup", read_only=True),
        ],
        termination_log=Path("/pod/termination-log"),
        user=0,
        read_only_root=read_only_root,
        keep_capabilities=keep_capabilities,
        hostname="node-0",
    )


def test_the_command_comes_last_and_the_root_is_sealed_after_all_mounts() -> None:
    line = command_line(process(), TOOLBOX)
    assert line[-4:] == ["--", "python3", "-m", "agent"]
    assert line.index("--remount-ro") > max(
        line.index("/workspace"), line.index("/opt/warmup"), line.index("/dev/termination-log")
    )


def test_processes_die_with_the_server_and_see_only_themselves() -> None:
    line = command_line(process(), TOOLBOX)
    assert {"--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--clearenv"} <= set(line)


def test_a_writable_root_and_capabilities_are_left_where_asked() -> None:
    line = command_line(process(read_only_root=False, keep_capabilities=True), TOOLBOX)
    assert "--remount-ro" not in line
    assert "--cap-drop" not in line


def test_mounts_are_bound_as_they_may_be_used() -> None:
    line = command_line(process(), TOOLBOX)
    assert line[line.index("/node/workspace") - 1] == "--bind"
    assert line[line.index("/volumes/code") - 1] == "--ro-bind"


def test_images_are_patterns(tmp_path: Path) -> None:
    file = tmp_path / "images.json"
    file.write_text(json.dumps(["*/ncbi/elb:*", "!private.io/*"]))
    catalogue = load_images(file)
    asked = ("acr.azurecr.io/ncbi/elb:1.4.0", "private.io/ncbi/elb:1", "docker.io/other:1")
    assert [catalogue.ask(image) for image in asked] == ["present", "unauthorized", "absent"]


@pytest.mark.parametrize("content", ["{}", "[1]", "[", "null"])
def test_a_file_that_holds_no_patterns_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "images.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"images|Expecting"):
        load_images(file)


def test_only_a_bare_pause_image_is_spared_a_process() -> None:
    pause = "mcr.microsoft.com/oss/kubernetes/pause:3.6"
    assert is_pause({"image": pause})
    assert not is_pause({"image": pause, "command": ["sleep", "1"]})
    assert not is_pause({"image": "acr.azurecr.io/ncbi/elb:1"})
