"""An app with one function for each behaviour that the host is tested for."""

# The SDK's decorators ship no types.
# mypy: disable-error-code="untyped-decorator"

import asyncio
import json
import os
import sys
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from azure.durable_functions import DurableOrchestrationContext as Context

Story = Generator[Any, Any, Any]

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


def _leave_trace(line: str) -> None:
    """Append to the file that a test reads to count what really ran."""
    path = os.environ.get("TRACE_FILE")
    if path:
        with Path(path).open("a", encoding="utf-8") as trace:
            trace.write(f"{line}\n")


# -- HTTP


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    body = req.get_body()
    payload = json.loads(body) if body else None
    instance_id = await client.start_new(req.route_params["name"], req.params.get("id"), payload)
    answer: func.HttpResponse = client.create_check_status_response(req, instance_id)
    return answer


@app.route(route="client", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@app.generic_input_binding(arg_name="client", type="durableClient")
async def client_binding(req: func.HttpRequest, client: str) -> func.HttpResponse:  # noqa: ARG001 - bound
    return func.HttpResponse(client, mimetype="application/json")


@app.route(route="client/{operation}/{id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def operate(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    instance_id = req.route_params["id"]
    match req.route_params["operation"]:
        case "wait":
            answer: func.HttpResponse = await client.wait_for_completion_or_create_check_status_response(
                req, instance_id, 5000, 50
            )
            return answer
        case "status":
            result = (await client.get_status(instance_id, show_history=True)).to_json()
        case "list":
            found = await client.get_status_by(runtime_status=[df.OrchestrationRuntimeStatus.Running])
            result = [status.instance_id for status in found]
        case "purge":
            result = (await client.purge_instance_history(instance_id)).instances_deleted
        case "purge_by":
            purged = await client.purge_instance_history_by(
                created_time_from=datetime(2020, 1, 1, tzinfo=UTC),
                runtime_status=[df.OrchestrationRuntimeStatus[name] for name in json.loads(req.get_body())],
            )
            result = purged.instances_deleted
        case "raise_event":
            result = await client.raise_event(instance_id, "go", {"by": "client"})
        case operation:
            result = await getattr(client, operation)(instance_id, "a reason")
    return func.HttpResponse(json.dumps(result, default=str), mimetype="application/json")


@app.route(route="hello/{who?}", auth_level=func.AuthLevel.ANONYMOUS)
def hello(req: func.HttpRequest, context: func.Context) -> str:
    return f"hello {req.route_params.get('who', 'nobody')} from {context.function_name}"


@app.route(route="boom", auth_level=func.AuthLevel.ADMIN)
async def boom(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - bound
    raise RuntimeError("no answer")


@app.timer_trigger(schedule="0 0 0 29 2 *", arg_name="timer")
def janitor(timer: func.TimerRequest) -> None:
    _leave_trace(f"janitor past_due={timer.past_due}")


@app.timer_trigger(schedule="0 0 0 29 2 *", arg_name="timer")
@app.durable_client_input(client_name="client")
async def sweeper(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:  # noqa: ARG001
    await client.start_new("fan_out", "swept", 2)


# -- activities


@app.activity_trigger(input_name="n")
def square(n: int) -> int:
    return n * n


@app.activity_trigger(input_name="n")
async def square_async(n: int) -> int:
    await asyncio.sleep(0)
    return n * n


@app.activity_trigger(input_name="seconds")
def nap(seconds: float) -> str:
    _leave_trace(f"nap {seconds}")
    time.sleep(seconds)
    _leave_trace("rested")
    return "rested"


_attempts: dict[str, int] = {}


@app.activity_trigger(input_name="plan")
def flaky(plan: Any) -> str:
    attempt = _attempts[plan["key"]] = _attempts.get(plan["key"], 0) + 1
    if attempt < plan["works_at"]:
        raise ValueError(f"attempt {attempt}")
    return f"worked at {attempt}"


@app.activity_trigger(input_name="message")
def fail(message: str) -> str:
    if message == "leave":
        sys.exit(3)
    raise ValueError(message) if message else ValueError


# -- orchestrators


@app.orchestration_trigger(context_name="context")
def fan_out(context: Context) -> Story:
    count = context.get_input()
    context.set_custom_status({"phase": "fan-out", "n": count})
    results = yield context.task_all([context.call_activity("square", n) for n in range(count)])
    more = yield context.task_all([context.call_activity("square_async", n) for n in range(count)])
    context.set_custom_status({"phase": "done"})
    return {"sum": sum(results), "sum_async": sum(more)}


@app.orchestration_trigger(context_name="context")
def one_timer(context: Context) -> Story:
    due = context.current_utc_datetime + timedelta(seconds=context.get_input())
    yield context.create_timer(due)
    return (context.current_utc_datetime - due).total_seconds()


@app.orchestration_trigger(context_name="context")
def retrying(context: Context) -> Story:
    plan = context.get_input()
    options = df.RetryOptions(plan["interval_ms"], plan["attempts"])
    try:
        result = yield context.call_activity_with_retry("flaky", options, plan)
    except Exception as error:  # noqa: BLE001 - activities lose their exception's class
        return {"error": str(error).partition("\n")[0]}
    return {"result": result}


@app.orchestration_trigger(context_name="context")
def error_text(context: Context) -> Story:
    try:
        yield context.call_activity("fail", context.get_input())
    except Exception as error:  # noqa: BLE001 - activities lose their exception's class
        return {"type": type(error).__name__, "text": str(error)}


@app.orchestration_trigger(context_name="context")
def wait_go(context: Context) -> Story:
    return (yield context.wait_for_external_event("go"))


@app.orchestration_trigger(context_name="context")
def two_waits(context: Context) -> Story:
    first = context.wait_for_external_event("e")
    second = context.wait_for_external_event("e")
    return (yield context.task_all([first, second]))


@app.orchestration_trigger(context_name="context")
def collect_events(context: Context) -> Story:
    state = context.get_input()
    got = yield context.wait_for_external_event("e")
    state["got"].append(json.loads(got) if isinstance(got, str) else got)
    if len(state["got"]) < state["n"]:
        context.continue_as_new(state)
        return None
    return state["got"]


@app.orchestration_trigger(context_name="context")
def count_generations(context: Context) -> Story:
    generation = context.get_input()
    context.set_custom_status({"generation": generation})
    yield context.call_activity("square", generation)
    if generation < 3:
        context.continue_as_new(generation + 1)
        return None
    return {"last": generation}


@app.orchestration_trigger(context_name="context")
def continue_with_open_activity(context: Context) -> Story:
    if context.get_input() == "second":
        return "second"
    activity = context.call_activity("nap", 0.5)
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=0.05))
    yield context.task_any([activity, timer])
    context.continue_as_new("second")


@app.orchestration_trigger(context_name="context")
def leave_activity_open(context: Context) -> Story:
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=0.05))
    activity = context.call_activity("nap", 0.5)
    yield context.task_any([timer, activity])
    if context.get_input() == "raise":
        raise ValueError("with an open activity")
    return "done early"


@app.orchestration_trigger(context_name="context")
def sleep_long(context: Context) -> Story:
    yield context.call_activity("nap", 600)


@app.orchestration_trigger(context_name="context")
def leave_timer(context: Context) -> Story:
    winner = context.wait_for_external_event("go")
    loser = context.create_timer(context.current_utc_datetime + timedelta(seconds=1.5))
    yield context.task_any([winner, loser])
    if context.get_input() == "cancel":
        loser.cancel()
    return "done"


@app.orchestration_trigger(context_name="context")
def child(context: Context) -> Story:
    order = context.get_input() or {}
    if order.get("fail"):
        raise ValueError("child says no")
    if order.get("wait"):
        yield context.wait_for_external_event("go")
    value = yield context.call_activity("square", order.get("n", 6))
    return {"v": value, "id": context.instance_id, "parent": context.parent_instance_id}


@app.orchestration_trigger(context_name="context")
def parent(context: Context) -> Story:
    own_id = yield context.call_sub_orchestrator("child", {"n": 6}, f"{context.instance_id}-named")
    free_id = yield context.call_sub_orchestrator("child", {"n": 5})
    try:
        yield context.call_sub_orchestrator("child", {"fail": True})
        error = None
    except Exception as raised:  # noqa: BLE001 - so do children
        error = str(raised)
    return {"named": own_id, "free": free_id, "error": error}


@app.orchestration_trigger(context_name="context")
def waiting_parent(context: Context) -> Story:
    return (yield context.call_sub_orchestrator("child", {"wait": True}, f"{context.instance_id}-child"))


@app.orchestration_trigger(context_name="context")
def big_status(context: Context) -> Story:
    context.set_custom_status("x" * context.get_input()["size"])
    yield context.call_activity("square", 1)
    return "small enough"


@app.orchestration_trigger(context_name="context")
def status_then_none(context: Context) -> Story:
    context.set_custom_status({"phase": "one"})
    yield context.wait_for_external_event("go")
    context.set_custom_status(None)
    yield context.wait_for_external_event("go")


@app.orchestration_trigger(context_name="context")
def unknown_activity(context: Context) -> Story:
    yield context.call_activity("square", 1)
    yield context.call_activity("sqare", 1)


@app.orchestration_trigger(context_name="context")
def fail_plainly(context: Context) -> Story:  # noqa: ARG001 - bound
    _leave_trace("fail_plainly")
    raise KeyError("key")
    yield


@app.orchestration_trigger(context_name="context")
def yield_five(context: Context) -> Story:  # noqa: ARG001 - bound
    yield 5


@app.orchestration_trigger(context_name="context")
def call_entity(context: Context) -> Story:
    yield context.call_entity(df.EntityId("counter", "k"), "get")


_changed: set[str] = set()


@app.orchestration_trigger(context_name="context")
def change_mind(context: Context) -> Story:
    kind = context.get_input()
    if context.instance_id not in _changed:
        _changed.add(context.instance_id)
        yield context.call_activity("square", 1)
    elif kind == "name":
        yield context.call_activity("square_async", 1)
    elif kind == "kind":
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    else:
        return "dropped"


@app.orchestration_trigger(context_name="context")
def poll(context: Context) -> Story:
    count = context.get_input()
    for n in range(count):
        yield context.call_activity("square", n)
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=0.05))
    return count
