"""Both generations of the dashboard, as they speak and what they read: `pages/*.json`, from the contract."""

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from testkit.doors import SUBSCRIPTION, Doors
from testkit.hosting import Answer

PAGES = sorted((Path(__file__).parent / "pages").glob("*.json"))
KINDS = {"string": str, "integer": int, "boolean": bool, "array": list}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_reads_what_it_expects(doors: Doors, cluster: str, page: Path) -> None:
    known = {"subscription": SUBSCRIPTION, "cluster": cluster}
    for exchange in json.loads(page.read_text())["exchanges"]:
        if "world" in exchange:
            doors.world(**exchange["world"])
        told = _filled(exchange, known)
        answer = _exchanged(doors, told)
        assert answer.status == told["status"], (told["does"], answer.body)
        assert _misread(told["reads"], answer.json) == {}, told["does"]
        known |= {name: answer.json[field] for name, field in told.get("keeps", {}).items()}


def _exchanged(doors: Doors, told: dict[str, Any]) -> Answer:
    request, nonce = told["request"], uuid.uuid4().hex

    def ask() -> Answer:
        if request["method"] == "GET":
            return doors.get(request["path"])
        return doors.post(request["path"], request["body"], **{"x-client-request-id": nonce})

    if not told.get("until"):
        return ask()
    answered: Answer = doors.host.until_true(ask, lambda answer: not _misread(told["reads"], answer.json))
    return answered


def _filled(exchange: Any, known: dict[str, str]) -> Any:
    """The exchange with `{names}` in place."""
    if isinstance(exchange, dict):
        return {key: _filled(value, known) for key, value in exchange.items()}
    if isinstance(exchange, list):
        return [_filled(value, known) for value in exchange]
    if not isinstance(exchange, str):
        return exchange
    return re.sub(r"\{(\w+)\}", lambda name: known.get(name[1], name[0]), exchange)


def _misread(expected: dict[str, Any], body: Any) -> dict[str, Any]:
    """What a page would read otherwise than it expects."""
    read = {path: _at(body, path.split(".")) for path in expected}
    return {path: read[path] for path, wanted in expected.items() if not _fits(wanted, read[path])}


def _at(body: Any, path: list[str]) -> Any:
    for key in path:
        if isinstance(body, list):
            body = body[int(key)] if int(key) < len(body) else None
        else:
            body = body.get(key) if isinstance(body, dict) else None
    return body


def _fits(wanted: Any, read: Any) -> bool:
    if isinstance(wanted, list):
        return read in wanted
    if isinstance(wanted, str) and wanted in KINDS:
        return isinstance(read, KINDS[wanted])
    if wanted == "alphanumeric":
        return bool(re.fullmatch(r"[A-Za-z0-9]{16,64}", str(read)))
    if isinstance(wanted, str) and wanted.startswith("begins: "):
        return str(read)[:100].startswith(wanted.removeprefix("begins: "))
    return type(read) is type(wanted) and bool(read == wanted)
