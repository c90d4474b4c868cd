"""The app in Azure's own Python worker library: what a real worker refuses is refused here.

`UPDATE_GOLDEN=1` writes the golden list of functions anew.
"""

import ast
import json
import os
import re
from pathlib import Path
from typing import Any

from testkit.worker import REPOSITORY, run_worker

GOLDEN = REPOSITORY / "tests" / "golden" / "functions.json"
BINDING_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,127}|\$return")
VERBS = {"_call", "_call_each", "_persist", "call_activity"}


def test_the_functions_and_their_bindings_are_the_golden_ones(worker: dict[str, Any]) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        lines = [
            f" {json.dumps(name)}: {json.dumps(worker['functions'][name])}"
            for name in sorted(worker["functions"])
        ]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    assert worker["functions"] == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_every_bound_name_is_one_that_the_host_takes(worker: dict[str, Any]) -> None:
    """An underscore in one, and no function of the app is served."""
    bindings = [binding for bound in worker["functions"].values() for binding in bound]

    assert bindings
    assert [b["name"] for b in bindings if not BINDING_NAME.fullmatch(b["name"])] == []


def test_everybody_may_knock_since_the_gate_is_our_own(worker: dict[str, Any]) -> None:
    doors = [b for bound in worker["functions"].values() for b in bound if b["type"] == "httpTrigger"]

    assert {door["authLevel"] for door in doors} == {"ANONYMOUS"}


def test_every_step_has_an_activity_and_no_activity_is_idle(worker: dict[str, Any]) -> None:
    """A misspelt activity hangs a run for ever."""
    assert called_activities() == bound_to(worker, "activityTrigger")


def test_the_doors_start_an_orchestration_that_is_there(worker: dict[str, Any]) -> None:
    assert bound_to(worker, "orchestrationTrigger") == {"warm_databases"}


def test_health_answers_over_http(worker: dict[str, Any]) -> None:
    answer = worker["results"][0]

    assert (answer["ok"], answer["value"]["status_code"]) == (True, "200"), answer


def test_the_first_turn_of_a_run_reads_the_cluster(worker: dict[str, Any]) -> None:
    turn = worker["results"][1]
    assert turn["ok"], turn
    state = json.loads(turn["value"])

    ((retried,),) = state["actions"]
    names = [action["functionName"] for action in retried["compoundActions"]]
    assert (state["isDone"], names) == (False, ["read_cluster"])
    assert state["customStatus"]["phase"] == "enabling_storage"


def test_an_activity_takes_and_gives_plain_json(worker: dict[str, Any]) -> None:
    assert worker["results"][2] == {"ok": True, "value": "true", "error": None}


def test_the_janitors_timer_outlives_a_platform_that_is_out_of_order(worker: dict[str, Any]) -> None:
    assert worker["results"][3] == {"ok": True, "value": None, "error": None}


def test_an_app_without_its_settings_names_the_one_that_is_missing() -> None:
    refused = run_worker(REPOSITORY, {}, [])

    assert "AzureWebJobsStorage__blobServiceUri is missing" in refused["refused"]


def test_the_worker_refuses_here_what_azure_refuses(tmp_path: Path) -> None:
    """So that a green test above means something."""
    app = """
        import azure.durable_functions as df
        app = df.DFApp()
        other = df.DFApp()
        @app.activity_trigger(input_name="value")
        def act(value: str):
            return value
    """
    (tmp_path / "function_app.py").write_text(
        "\n".join(line[8:] for line in app.splitlines()), encoding="utf-8"
    )

    assert "More than one" in run_worker(tmp_path, {}, [])["refused"]


def bound_to(worker: dict[str, Any], trigger: str) -> set[str]:
    """The functions with this trigger."""
    return {name for name, bound in worker["functions"].items() if trigger in {b["type"] for b in bound}}


def called_activities() -> set[str]:
    """The names that the steps call by."""
    tree = ast.parse((REPOSITORY / "orchestrators" / "steps.py").read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {
        name for function in functions for call in _verb_calls(function) for name in _names(call, function)
    }


def _verb_calls(function: ast.FunctionDef) -> list[ast.Call]:
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in VERBS]


def _names(call: ast.Call, function: ast.FunctionDef) -> set[str]:
    """The first argument, or what the variable there was given."""
    first = call.args[0]
    if not isinstance(first, ast.Name):
        return _texts(first)
    given = [n.value for n in ast.walk(function) if isinstance(n, ast.Assign) and _assigns(n, first.id)]
    return {text for value in given for text in _texts(value)}


def _assigns(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _texts(node: ast.expr) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
