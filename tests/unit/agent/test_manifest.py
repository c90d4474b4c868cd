"""What a manifest may say, and what it may not."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from agent.errors import BadManifest
from agent.manifest import parse_manifest


def described(**changes: Any) -> str:
    """A manifest of one file, changed."""
    file = {
        "name": "nt.nsq",
        "blob": "nt/nt.nsq",
        "size": 3,
        "etag": '"0x8D"',
        "md5": None,
        "modified": "2026-05-26T01:05:01.1234567Z",
        "shared": False,
    }
    document = {
        "schema": 1,
        "database": "nt",
        "container": "blast-db",
        "source_version": None,
        "generation": "abc",
        "molecule": "nucl",
        "bytes": 3,
        "files": [file],
    }
    document.update({key: value for key, value in changes.items() if key in document})
    file.update({key: value for key, value in changes.items() if key in file})
    return json.dumps(document)


def test_a_manifest_is_read_into_values() -> None:
    manifest = parse_manifest(described(md5="kAFQmDzST7DWlj99KOF/cg=="))

    assert (manifest.database, manifest.total_bytes) == ("nt", 3)
    assert manifest.files[0].etag == "0x8D"
    assert manifest.files[0].md5 == bytes.fromhex("900150983cd24fb0d6963f7d28e17f72")


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", ".hidden", "../up", "a/b", "a\\b", "/etc/passwd", "-rf"),
        *("a\nb", "a\0b", "a\x1b[31m", "a\u202eb", "n" * 201, "é" * 101, None, 7),
    ],
)
@pytest.mark.parametrize("field", ["name", "database", "container"])
def test_a_name_that_must_not_become_a_path_is_refused(field: str, name: object) -> None:
    with pytest.raises(BadManifest):
        parse_manifest(described(**{field: name}))


@pytest.mark.parametrize("name", ["$(reboot)", "a b'c\"", "nt;rm", "Core.NT", "café", "core-nt.00.nsq"])
def test_a_strange_name_is_a_name(name: str) -> None:
    assert parse_manifest(described(name=name)).files[0].name == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *product(["blob"], ["", "../x", "a//b", "a/./b", "/a", "a\nb", None]),
        *product(["size"], [-1, 1.5, "3", True, None]),
        *product(["etag"], ["", '""', 'a"b', "a\r\nX: y", "é", None]),
        *product(["md5"], ["short", "AAAA", "é", 7]),
        *product(["modified"], ["yesterday", "", None]),
        *product(["schema"], [2, None]),
        *product(["files"], [[{}], None, [7]]),
        ("bytes", 4),
        ("generation", "g" * 6000),
    ],
)
def test_a_senseless_value_is_refused(field: str, value: object) -> None:
    with pytest.raises(BadManifest):
        parse_manifest(described(**{field: value}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "7", "{}", "[" * 200_000])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(BadManifest):
        parse_manifest(text)


def test_a_name_that_occurs_twice_is_refused() -> None:
    document = json.loads(described(bytes=6))
    document["files"] *= 2
    with pytest.raises(BadManifest, match="twice"):
        parse_manifest(json.dumps(document))
