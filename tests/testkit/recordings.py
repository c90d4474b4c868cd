"""Exchanges recorded from the real Durable extension, put again to a host of ours.

Both answers are made plain first: what differs from run to run (addresses, keys, times, random
ids) becomes a placeholder that still shows its shape, and .NET's stack traces and serialized
exceptions, which no Python host has, are cut where they begin.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testkit.hosting import Answer, RunningHost

COMPARED_HEADERS = ("content-type", "location", "retry-after", "x-ms-continuation-token")
_PLACEHOLDERS = (
    (re.compile(r"http://127\.0\.0\.1:\d+"), "ORIGIN"),
    (re.compile(r"code=[^&\"]+"), "code=KEY"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,7}(?=Z|\+00:00)"), "TIME.F"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?=Z)"), "TIME"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "GUID"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "HEX"),
    (re.compile(r"\{\"\$type\".*", re.DOTALL), "DOTNET"),
    (re.compile(r"(?<=StackTrace: ).*", re.DOTALL), "STACK"),
    (re.compile(r"(?<=Stack: ).*", re.DOTALL), "STACK"),
    (re.compile(r"(?<=functions: )'.*", re.DOTALL), "NAMES"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A question and the real extension's answer."""

    scenario: str
    method: str
    path: str
    request_headers: dict[str, str]
    request_body: str | None
    status: int
    headers: dict[str, str]
    body: Any


def load(path: Path) -> dict[str, list[Exchange]]:
    """Read a recording: the first line names its origin, each other is an exchange."""
    _origin, *lines = path.read_text(encoding="utf-8").splitlines()
    exchanges: dict[str, list[Exchange]] = {}
    for line in lines:
        exchange = Exchange(**json.loads(line))
        exchanges.setdefault(exchange.scenario, []).append(exchange)
    return exchanges


def ask_again(host: RunningHost, exchange: Exchange) -> Answer:
    """Put a recorded question to a host of ours."""
    url = exchange.path
    if url.startswith("rpc:"):
        url = f"{host.rpc}/durabletask{url.removeprefix('rpc:')}"
    elif not url.startswith("/api"):
        url = f"{host.durable}{url}"
    return host.ask(exchange.method, url, exchange.request_body, exchange.request_headers)


def recorded(exchange: Exchange) -> dict[str, Any]:
    """Give the recorded answer, made plain."""
    headers = {name: exchange.headers[name] for name in COMPARED_HEADERS if name in exchange.headers}
    return {"status": exchange.status, "headers": plain(headers), "body": plain(exchange.body)}


def seen(answer: Answer) -> dict[str, Any]:
    """Give an answer of ours, made plain."""
    headers = {name: answer.headers[name] for name in COMPARED_HEADERS if name in answer.headers}
    body = answer.json if answer.body else None
    return {"status": answer.status, "headers": plain(headers), "body": plain(body)}


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """Name every place where two plain answers differ; the order of keys counts."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if list(expected) != list(found):
            return [f"{path}: expected the keys {list(expected)}, found {list(found)}"]
        return [line for key in expected for line in differences(expected[key], found[key], f"{path}.{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for n, (one, other) in pairs for line in differences(one, other, f"{path}[{n}]")]
    return [] if expected == found else [f"{path}: expected {expected!r}, found {found!r}"]


def plain(value: Any) -> Any:
    """Replace what differs from run to run; keys keep their order."""
    if isinstance(value, dict):
        made_plain = {key: plain(item) for key, item in value.items()}
        return made_plain | {"StackTrace": "STACK"} if "StackTrace" in value else made_plain
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return _plain_text(value)
    return value


def _plain_text(text: str) -> str:
    for pattern, placeholder in _PLACEHOLDERS:
        text = pattern.sub(placeholder, text)
    return text
