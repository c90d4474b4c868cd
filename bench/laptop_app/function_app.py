"""The smallest Durable app that the laptop stack's benchmark needs."""

# mypy: disable-error-code="untyped-decorator, no-any-return"
# The SDK's decorators carry no types.

import asyncio

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

# Async functions share the worker's one loop. A caller that polled for the end would be most of the load.
ends: dict[str, asyncio.Event] = {}


@app.activity_trigger(input_name="number")
def echo(number: int) -> int:
    """Do nothing, as activities go."""
    return number


@app.activity_trigger(input_name="key")
async def end(key: str) -> None:
    """Tell the request that waits for it."""
    ends[key].set()


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Call as many activities as asked, one after another."""
    given = context.get_input()
    for number in range(given["activities"]):
        yield context.call_activity("echo", number)
    if "key" in given:
        yield context.call_activity("end", given["key"])


@app.orchestration_trigger(context_name="context")
def fan(context: df.DurableOrchestrationContext):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Run as many orchestrations of one activity as asked, all at once."""
    one = {"activities": 1}
    yield context.task_all(
        [context.call_sub_orchestrator("chain", one) for _ in range(context.get_input()["orchestrations"])]
    )


@app.orchestration_trigger(context_name="context")
def burst(context: df.DurableOrchestrationContext):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Run as many fans as asked, all at once."""
    given = context.get_input()
    yield context.task_all([context.call_sub_orchestrator("fan", given["fan"]) for _ in range(given["fans"])])
    yield context.call_activity("end", given["key"])


@app.route(route="run/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def run(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start an orchestration and answer when it is over."""
    given = req.get_json()
    ends[given["key"]] = asyncio.Event()
    await client.start_new(req.route_params["name"], None, given)
    await ends[given["key"]].wait()
    return func.HttpResponse()
