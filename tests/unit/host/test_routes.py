"""Route templates and keys: who is called, and who may call."""

import pytest
from starlette.requests import HTTPConnection

from local.host.http.functions import compile_route
from local.host.http.keys import Keys


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("api/runs", "/api/runs", {}),
        ("api/runs", "/API/Runs/", {}),
        ("api/runs/{id}", "/api/runs/7", {"id": "7"}),
        ("api/runs/{id}/nodes", "/api/runs/a:b/nodes", {"id": "a:b"}),
        ("api/runs/{id:int}", "/api/runs/-7", {"id": "-7"}),
        ("api/runs/{id?}", "/api/runs", {"id": None}),
        ("files/{*rest}", "/files/a/b.txt", {"rest": "a/b.txt"}),
        ("api/{name}.json", "/api/core_nt.json", {"name": "core_nt"}),
    ],
)
def test_a_path_matches_its_template(template: str, path: str, values: dict[str, str | None]) -> None:
    match = compile_route(template).fullmatch(path)
    assert match is not None
    assert match.groupdict() == values


@pytest.mark.parametrize(
    ("template", "path"),
    [("api/runs", "/api/runs/7"), ("api/runs/{id}", "/api/runs/a/b"), ("api/runs/{id:int}", "/api/runs/x")],
)
def test_another_path_does_not(template: str, path: str) -> None:
    assert compile_route(template).fullmatch(path) is None


def asking(key: str = "", query: bytes = b"") -> HTTPConnection:
    headers = [(b"x-functions-key", key.encode())] if key else []
    return HTTPConnection({"type": "http", "headers": headers, "query_string": query})


KEYS = Keys(master="m", system="s", function="f", is_enforced=True)


@pytest.mark.parametrize(
    ("level", "admitted"),
    [("anonymous", {"", "m", "s", "f"}), ("function", {"m", "f"}), ("admin", {"m"})],
)
def test_each_level_has_its_keys(level: str, admitted: set[str]) -> None:
    assert {key for key in ("", "m", "s", "f") if KEYS.admit_to_function(asking(key), level)} == admitted


def test_a_key_may_come_in_the_query_and_the_header_wins() -> None:
    assert KEYS.admit_to_management(asking(query=b"code=s"))
    assert not KEYS.admit_to_management(asking("f", b"code=s"))


def test_without_enforcement_everybody_is_admitted() -> None:
    keys = Keys(master="m", system="s", function="f", is_enforced=False)
    assert keys.admit_to_administration(asking())
