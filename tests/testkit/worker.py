"""Azure's own Python worker library, run over an app folder: what it indexes, and what invocations give.

`python worker.py APP_DIR` reads `[{"function": …, "inputs": {name: [type, value]}}, …]` and prints
`{"functions": {name: [binding, …]}, "results": [{"ok": …, "value": …, "error": …}]}` as its last line.
A process of its own: the library keeps what it indexed in module globals.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from azure_functions_runtime.bindings.datumdef import Datum
from azure_functions_runtime.handle_event import functions_metadata_request, worker_init_request
from azure_functions_runtime.native_invocation import invocation_request_native
from azure_functions_runtime.utils.threadpool import start_threadpool_executor

REPOSITORY = Path(__file__).parents[2]
Json = dict[str, Any]


class Message:
    """Stands where the host's protobuf messages stand: fields, and nothing else."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


class StatusResult(Message):
    Failure, Success = 0, 1


class BindingInfo(Message):
    undefined, out, inout = 0, 1, 2


class Protos:
    """The messages that the library answers with; it is given them by its host."""

    StatusResult = StatusResult
    BindingInfo = BindingInfo
    WorkerInitResponse = WorkerMetadata = FunctionMetadataResponse = Message
    RpcFunctionMetadata = RpcException = Message


async def work(app: Path, invocations: list[Json]) -> Json:
    """Index an app and invoke its functions, one after the other."""
    start_threadpool_executor()
    init = Message(worker_init_request=Message(capabilities={}, function_app_directory=str(app)))
    request = Message(request=init, properties={"host": "127.0.0.1", "protos": Protos})
    begun = await worker_init_request(request)
    if begun.result.status != StatusResult.Success:
        return {"refused": begun.result.exception.message}
    known = (await functions_metadata_request(request)).function_metadata_results
    ids = {each.name: each.function_id for each in known}
    return {
        "functions": {each.name: sorted(map(json.loads, each.raw_bindings), key=str) for each in known},
        "results": [await _invoke(ids[call["function"]], call["inputs"]) for call in invocations],
    }


async def _invoke(function_id: str, inputs: Json) -> Json:
    given = [(name, _datum(*typed)) for name, typed in inputs.items()]
    ok, value, _, error, _ = await invocation_request_native("invocation", function_id, given, {})
    return {"ok": ok, "value": None if value is None else _plain(value), "error": error}


def _datum(kind: str, value: Any) -> Datum:
    if kind != "http":
        return Datum(value, kind)
    texts = {key: Datum(value[key], "string") for key in ("method", "url")}
    rest = {
        key: {k: Datum(v, "string") for k, v in value.get(key, {}).items()}
        for key in ("headers", "query", "params")
    }
    return Datum({**texts, **rest, "body": Datum(b"", "bytes")}, "http")


def _plain(datum: Any) -> Any:
    if datum.type == "http":
        return {name: _plain(datum.value[name]) for name in ("status_code", "body")}
    return datum.value.decode() if isinstance(datum.value, bytes) else datum.value


def run_worker(app: Path, settings: dict[str, str], invocations: list[Json]) -> Json:
    """The same from outside: in a fresh process, with these settings as its environment."""
    done = subprocess.run(
        [sys.executable, "-P", __file__, str(app)],  # beside this file lie modules with names of packages
        input=json.dumps(invocations),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(app), **settings},
        capture_output=True,
        text=True,
        check=False,
        cwd=app,
    )
    assert done.returncode == 0, done.stderr
    answer: Json = json.loads(done.stdout.splitlines()[-1])
    return answer


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(asyncio.run(work(Path(sys.argv[1]), json.load(sys.stdin)))) + "\n")
