"""Lines that a thread of the app logs belong to the invocation that wanted it, for each kind of worker."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from testkit.worker import REPOSITORY, run_worker

# What the workers' own log handlers read where no loop runs: a thread-local, and in newer ones a variable.
APP = """
    import threading
    import azure.durable_functions as df
    from azure_functions_runtime import invocation_id_cv
    from azure_functions_runtime.bindings.context import _invocation_id_local
    from entrypoints.answering import Answer
    from entrypoints.binding import bind_door, bind_hub_door
    from entrypoints.threads import in_thread
    from entrypoints.waiting import Budget, SharedReadings, within

    readings = SharedReadings("it", Budget(seconds=5.0))

    def seen():
        return [threading.current_thread().name, _invocation_id_local.invocation_id, invocation_id_cv.get()]

    async def read_within(req, ports):
        return Answer(body={"seen": await within(5.0, "it", seen)})

    async def read_shared(req, hub, ports):
        return Answer(body={"seen": await readings.get("it", seen)})

    app = df.DFApp()
    doors = df.Blueprint()
    bind_door(doors, "GET within", read_within, None)
    bind_hub_door(doors, "GET shared", read_shared, None)
    app.register_functions(doors)
"""
CLIENT = {"taskHubName": "hub", "creationUrls": {}, "managementUrls": {}, "rpcBaseUrl": "http://127.0.0.1:9/"}


@pytest.mark.parametrize(
    ("function", "inputs"),
    [("read_within", {}), ("read_shared", {"client": ["string", json.dumps(CLIENT)]})],
)
def test_a_line_logged_in_a_thread_is_its_invocations(
    tmp_path: Path, function: str, inputs: dict[str, Any]
) -> None:
    (tmp_path / "function_app.py").write_text(textwrap.dedent(APP), encoding="utf-8")
    request = {"req": ["http", {"method": "GET", "url": "http://127.0.0.1/"}]}
    settings = {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}

    (answer,) = run_worker(tmp_path, settings, [{"function": function, "inputs": request | inputs}])[
        "results"
    ]

    assert answer["ok"], answer
    thread, by_thread, by_variable = json.loads(answer["value"]["body"])["seen"]
    assert thread.startswith("door")
    assert (by_thread, by_variable) == ("invocation", "invocation")
