"""The smallest Durable app that the laptop stack's benchmark needs."""

# mypy: disable-error-code="untyped-decorator, no-any-return"
# The SDK's decorators carry no types.

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.activity_trigger(input_name="number")
def echo(number: int) -> int:
    """Do nothing, as activities go."""
    return number


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Call as many activities as asked, one after another."""
    for number in range(context.get_input()["activities"]):
        yield context.call_activity("echo", number)


@app.orchestration_trigger(context_name="context")
def fan(context: df.DurableOrchestrationContext):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Run as many orchestrations of one activity as asked, all at once."""
    one = {"activities": 1}
    yield context.task_all(
        [context.call_sub_orchestrator("chain", one) for _ in range(context.get_input()["orchestrations"])]
    )


@app.route(route="run/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def run(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start an orchestration and answer when it is over."""
    run_id = await client.start_new(req.route_params["name"], None, req.get_json())
    return await client.wait_for_completion_or_create_check_status_response(req, run_id, 120_000, 5)
