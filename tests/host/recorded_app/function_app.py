"""The functions that were driven when the real extension's answers were recorded."""

# The SDK's decorators ship no types.
# mypy: disable-error-code="untyped-decorator"

import json
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from azure.durable_functions import DurableOrchestrationContext as Context

Story = Generator[Any, Any, Any]
# The recordings slept for real; what holds back the end is the same.
TIME_SCALE = 0.2

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
_mind = {"changed": False}


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    body = req.get_body()
    payload = json.loads(body) if body else None
    instance_id = await client.start_new(req.route_params["name"], req.params.get("id"), payload)
    answer: func.HttpResponse = client.create_check_status_response(req, instance_id)
    return answer


@app.route(route="client", methods=["GET"])
@app.generic_input_binding(arg_name="client", type="durableClient")
async def client_binding(req: func.HttpRequest, client: str) -> func.HttpResponse:  # noqa: ARG001 - bound
    return func.HttpResponse(client, mimetype="application/json")


@app.route(route="change-mind", methods=["POST"])
def change_mind(req: func.HttpRequest) -> str:  # noqa: ARG001 - bound
    _mind["changed"] = True
    return "changed"


@app.activity_trigger(input_name="n")
def square(n: int) -> int:
    return n * n


@app.activity_trigger(input_name="n")
async def square_async(n: int) -> int:
    return n * n


@app.activity_trigger(input_name="seconds")
def nap(seconds: float) -> float:
    time.sleep(seconds * TIME_SCALE)
    return seconds


_attempts: dict[str, int] = {}


@app.activity_trigger(input_name="plan")
def flaky(plan: Any) -> str:
    attempt = _attempts[plan["key"]] = _attempts.get(plan["key"], 0) + 1
    if attempt < plan["ok_at"]:
        raise ValueError(f"attempt {attempt}")
    return f"ok after {attempt}"


@app.activity_trigger(input_name="x")
def boom_key(x: Any) -> None:  # noqa: ARG001 - bound
    raise KeyError("k1")


@app.activity_trigger(input_name="x")
def boom_multi(x: Any) -> None:  # noqa: ARG001 - bound
    raise RuntimeError('line one\nline two: "quoted" {brace}')


@app.activity_trigger(input_name="x")
def fail_empty(x: Any) -> None:  # noqa: ARG001 - bound
    raise ValueError


@app.activity_trigger(input_name="x")
def bad_return(x: Any) -> Any:  # noqa: ARG001 - bound
    return {1, 2}


@app.activity_trigger(input_name="x")
def typed(x: Any) -> Any:
    return {"type": type(x).__name__, "repr": repr(x)[:200]}


@app.orchestration_trigger(context_name="context")
def imm(context: Context) -> Story:  # noqa: ARG001 - bound
    return {"now": 1}
    yield


@app.orchestration_trigger(context_name="context")
def fan(context: Context) -> Story:
    n = context.get_input()
    context.set_custom_status({"phase": "fan-out", "n": n})
    first = yield context.task_all([context.call_activity("square", i) for i in range(n)])
    second = yield context.task_all([context.call_activity("square_async", i) for i in range(n)])
    context.set_custom_status({"phase": "done"})
    return {"sum": sum(first), "sum_async": sum(second)}


@app.orchestration_trigger(context_name="context")
def fan20(context: Context) -> Story:
    return (yield context.task_all([context.call_activity("square", i) for i in range(20)]))


@app.orchestration_trigger(context_name="context")
def wait_go(context: Context) -> Story:
    return (yield context.wait_for_external_event("go"))


@app.orchestration_trigger(context_name="context")
def status_kinds(context: Context) -> Story:
    for value in context.get_input():
        context.set_custom_status(value)
        yield context.wait_for_external_event("go")
    context.set_custom_status({"final": True})
    return "done"


@app.orchestration_trigger(context_name="context")
def status_size(context: Context) -> Story:
    context.set_custom_status("x" * context.get_input())
    yield context.wait_for_external_event("go")


@app.orchestration_trigger(context_name="context")
def input_type(context: Context) -> Story:
    try:
        value = context.get_input()
    except (TypeError, ValueError) as error:
        return {"exc": f"{type(error).__name__}: {error}"}
    return {"type": type(value).__name__, "v": value}
    yield


@app.orchestration_trigger(context_name="context")
def event_types(context: Context) -> Story:
    seen = []
    for _ in range(context.get_input()):
        value = yield context.wait_for_external_event("e")
        seen.append([type(value).__name__, value])
    return seen


@app.orchestration_trigger(context_name="context")
def types(context: Context) -> Story:
    seen = []
    for value in (None, True, 1, 1.5, "s", '"q"', "null", "12", [1, 2], {"a": "ü€"}, ""):
        result = yield context.call_activity("typed", value)
        seen.append([value, result])
    return seen


@app.orchestration_trigger(context_name="context")
def fail_act(context: Context) -> Story:
    yield context.call_activity("boom_multi", 1)


@app.orchestration_trigger(context_name="context")
def fail_key(context: Context) -> Story:  # noqa: ARG001 - bound
    raise KeyError("orch")
    yield


@app.orchestration_trigger(context_name="context")
def fail_sub(context: Context) -> Story:
    yield context.call_sub_orchestrator("fail_act")


@app.orchestration_trigger(context_name="context")
def child(context: Context) -> Story:
    if context.get_input() == "fail":
        raise ValueError("child says no")
    return (yield context.call_activity("square", 6))


@app.orchestration_trigger(context_name="context")
def err_text(context: Context) -> Story:
    second, tenth = df.RetryOptions(1000, 2), df.RetryOptions(100, 3)
    tasks: dict[str, Callable[[], Any]] = {
        "boom_key": lambda: context.call_activity("boom_key", {"a": 1}),
        "boom_multi": lambda: context.call_activity("boom_multi", {"a": 1}),
        "fail_empty": lambda: context.call_activity("fail_empty", {"a": 1}),
        "retry": lambda: context.call_activity_with_retry("boom_key", tenth, 1),
        "sub": lambda: context.call_sub_orchestrator("child", "fail"),
        "subretry": lambda: context.call_sub_orchestrator_with_retry("child", second, "fail"),
    }
    seen = {}
    for name, call in tasks.items():
        try:
            yield call()
        except Exception as error:  # noqa: BLE001 - activities lose their exception's class
            seen[name] = {"type": type(error).__name__, "str": str(error)}
    return seen


@app.orchestration_trigger(context_name="context")
def unknown_act_after(context: Context) -> Story:
    yield context.call_activity("square", 2)
    yield context.call_activity("nope", 1)
    yield context.call_activity("square", 3)


@app.orchestration_trigger(context_name="context")
def unknown_sub(context: Context) -> Story:
    yield context.call_sub_orchestrator("nosuch", 1)


@app.orchestration_trigger(context_name="context")
def any_ev(context: Context) -> Story:
    event = context.wait_for_external_event("go")
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=context.get_input()))
    winner = yield context.task_any([event, timer])
    if winner == event:
        timer.cancel()
        return {"event": event.result}
    return "timeout"


@app.orchestration_trigger(context_name="context")
def can3(context: Context) -> Story:
    n = context.get_input()
    context.set_custom_status({"gen": n})
    value = yield context.call_activity("square", n)
    if n < 3:
        context.continue_as_new(n + 1)
        return None
    return {"last": value}


@app.orchestration_trigger(context_name="context")
def can_event(context: Context) -> Story:
    state = context.get_input()
    event = yield context.wait_for_external_event("e")
    state["got"].append(event)
    if len(state["got"]) < state["n"]:
        context.continue_as_new(state)
        return None
    return state


@app.orchestration_trigger(context_name="context")
def can_lost(context: Context) -> Story:
    if context.get_input() == 0:
        yield context.wait_for_external_event("first")
        context.continue_as_new(1)
        return None
    event = context.wait_for_external_event("other")
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=0.3))
    winner = yield context.task_any([event, timer])
    return "kept" if winner == event else "lost"


@app.orchestration_trigger(context_name="context")
def nondet_drop(context: Context) -> Story:
    if not _mind["changed"]:
        yield context.call_activity("square", 1)
    yield context.wait_for_external_event("go")
    return "x"


@app.orchestration_trigger(context_name="context")
def nondet_type(context: Context) -> Story:
    if not _mind["changed"]:
        yield context.call_activity("square", 1)
    else:
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    yield context.wait_for_external_event("go")
    return "x"


@app.orchestration_trigger(context_name="context")
def yield_five(context: Context) -> Story:  # noqa: ARG001 - bound
    yield 5


@app.orchestration_trigger(context_name="context")
def bad_output(context: Context) -> Story:  # noqa: ARG001 - bound
    return {1, 2}
    yield


@app.orchestration_trigger(context_name="context")
def act_bad_return(context: Context) -> Story:
    yield context.call_activity("bad_return", 1)


@app.orchestration_trigger(context_name="context")
def fast_fail(context: Context) -> Story:
    try:
        yield context.task_all([context.call_activity("boom_key", 1), context.call_activity("nap", 4.0)])
    except Exception:  # noqa: BLE001 - activities lose their exception's class
        context.set_custom_status("caught")
    return "caught"


@app.orchestration_trigger(context_name="context")
def any_leftover(context: Context) -> Story:
    tasks = [context.call_activity("square", 2), context.call_activity("nap", 4.0)]
    winner = yield context.task_any(tasks)
    context.set_custom_status("winner")
    return winner.result


@app.orchestration_trigger(context_name="context")
def parent_wait(context: Context) -> Story:
    return (yield context.call_sub_orchestrator("wait_go", None, f"{context.instance_id}-child"))


@app.orchestration_trigger(context_name="context")
def two_waits(context: Context) -> Story:
    first = context.wait_for_external_event("x")
    second = context.wait_for_external_event("x")
    winner = yield context.task_any([first, second])
    results = yield context.task_all([first, second])
    return {"first": "a" if winner == first else "b", "r": results}


@app.orchestration_trigger(context_name="context")
def ten_acts_event(context: Context) -> Story:
    tasks = [context.call_activity("square", i) for i in range(3)]
    event = yield context.wait_for_external_event("go")
    results = yield context.task_all(tasks)
    return [event, results]


@app.orchestration_trigger(context_name="context")
def act_retry(context: Context) -> Story:
    plan = context.get_input()
    return (yield context.call_activity_with_retry("flaky", df.RetryOptions(plan["ms"], plan["n"]), plan))


@app.orchestration_trigger(context_name="context")
def retry_parallel(context: Context) -> Story:
    own = context.instance_id
    calls = [
        context.call_activity_with_retry("flaky", df.RetryOptions(100, 5), {"key": own + "a", "ok_at": 3}),
        context.call_activity("square", 3),
        context.call_activity_with_retry("flaky", df.RetryOptions(150, 5), {"key": own + "b", "ok_at": 2}),
        context.call_activity("nap", 0.2),
    ]
    results = yield context.task_all(calls)
    last = yield context.call_activity("square", 4)
    return [*results, last]


@app.orchestration_trigger(context_name="context")
def reuse_retry(context: Context) -> Story:
    plan = {"key": context.instance_id, "ok_at": 2}
    work = context.call_activity_with_retry("flaky", df.RetryOptions(300, 5), plan)
    timer = context.create_timer(context.current_utc_datetime + timedelta(milliseconds=100))
    yield context.task_any([work, timer])
    result = yield work
    other = yield context.call_activity("square", 5)
    return [result, other]


@app.orchestration_trigger(context_name="context")
def early2(context: Context) -> Story:
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=0.3))
    first = yield context.wait_for_external_event("e")
    again = context.wait_for_external_event("e")
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=5))
    winner = yield context.task_any([again, timer])
    if winner == again:
        timer.cancel()
    return {"first": first, "second": again.result if winner == again else "timeout"}
