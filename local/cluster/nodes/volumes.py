"""Volumes of a pod as folders on the host, and where each container sees them."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from local.cluster.nodes.environment import field_value
from local.cluster.objects import Json, namespace_of
from local.cluster.resources import CONFIG_MAPS, SECRETS, Kind

if TYPE_CHECKING:
    from pathlib import Path

    from local.cluster.store import Store


class MountError(Exception):
    """A volume cannot be set up (yet): the pod stays where it is and an event tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One folder or file of the host inside a container."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFolders:
    """Where a pod's volumes lie: its node's root, and a folder of its own for the rest."""

    node_root: Path
    own: Path


def set_up_volumes(store: Store, pod: Json, folders: VolumeFolders) -> dict[str, Path]:
    """Make every volume ready; the answer is the host path of each. Raises MountError."""
    ready: dict[str, Path] = {}
    for volume in pod["spec"].get("volumes") or []:
        ready[volume["name"]] = _set_up(store, pod, volume, folders)
    return ready


def mounts_of(container: Json, volumes: dict[str, Path]) -> list[Mount]:
    """What one container sees, outer mount points first; makes missing subPaths, as the kubelet does."""
    mounts = [
        Mount(
            source=_sub_path(volumes[mount["name"]], mount.get("subPath", "")),
            target=mount["mountPath"],
            read_only=bool(mount.get("readOnly")),
        )
        for mount in container.get("volumeMounts") or []
    ]
    return sorted(mounts, key=lambda mount: mount.target.count("/"))


def _set_up(store: Store, pod: Json, volume: Json, folders: VolumeFolders) -> Path:
    name = str(volume["name"])
    if "hostPath" in volume:
        return _host_path(name, volume["hostPath"], folders.node_root)
    target = folders.own / name
    if "emptyDir" in volume:
        target.mkdir(parents=True, exist_ok=True)
        return target
    files = _files_of(store, pod, volume)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path, content in files.items():
        file = _inside(target, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return target


def _host_path(name: str, source: Json, node_root: Path) -> Path:
    path, kind = source["path"], source["type"]
    target = _inside(node_root, path)
    if kind == "DirectoryOrCreate":
        target.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        target.touch()
    missing = {"Directory": not target.is_dir(), "File": not target.is_file()}.get(kind, False)
    if missing:
        what = "a directory" if kind == "Directory" else "a file"
        raise MountError(
            f'MountVolume.SetUp failed for volume "{name}" : hostPath type check failed: {path} is not {what}'
        )
    if not target.exists():
        # An untyped hostPath that is missing is made by the container runtime.
        target.mkdir(parents=True)
    return target


def _files_of(store: Store, pod: Json, volume: Json) -> dict[str, bytes]:
    namespace = namespace_of(pod)
    if "configMap" in volume:
        return _keyed_files(
            store, CONFIG_MAPS, (volume["name"], namespace, volume["configMap"]["name"]), volume["configMap"]
        )
    if "secret" in volume:
        return _keyed_files(
            store, SECRETS, (volume["name"], namespace, volume["secret"]["secretName"]), volume["secret"]
        )
    if "downwardAPI" in volume:
        items = volume["downwardAPI"].get("items") or []
        return {item["path"]: field_value(pod, item["fieldRef"]["fieldPath"]).encode() for item in items}
    kinds = ", ".join(key for key in volume if key != "name")
    raise MountError(f'volume "{volume["name"]}" is of a kind that this cluster does not imitate: {kinds}')


def _keyed_files(store: Store, kind: Kind, where: tuple[str, str, str], source: Json) -> dict[str, bytes]:
    volume, namespace, name = where
    item = store.find(kind, namespace, name)
    if item is None:
        if source.get("optional"):
            return {}
        raise MountError(
            f'MountVolume.SetUp failed for volume "{volume}" : {kind.kind.lower()} "{name}" not found'
        )
    content = _content(kind, item)
    items = source.get("items")
    if items is None:
        return content
    missing = [entry["key"] for entry in items if entry["key"] not in content]
    if missing and not source.get("optional"):
        raise MountError(
            f'MountVolume.SetUp failed for volume "{volume}" : {kind.kind.lower()} references non-existent '
            f"config key: {missing[0]}"
        )
    return {entry["path"]: content[entry["key"]] for entry in items if entry["key"] in content}


def _content(kind: Kind, item: Json) -> dict[str, bytes]:
    data, binary = item.get("data") or {}, item.get("binaryData") or {}
    if kind == SECRETS:
        return {key: base64.b64decode(value) for key, value in data.items()}
    return {key: value.encode() for key, value in data.items()} | {
        key: base64.b64decode(value) for key, value in binary.items()
    }


def _sub_path(volume: Path, path: str) -> Path:
    if not path:
        return volume
    target = _inside(volume, path)
    if not target.exists():
        target.mkdir(parents=True)
    return target


def _inside(folder: Path, path: str) -> Path:
    parts = [part for part in PurePosixPath(path).parts if part != "/"]
    if ".." in parts:
        raise MountError(f"{path} leads out of its volume")
    return folder.joinpath(*parts)
