"""What the host is to its callers and to whoever starts it."""

import json
import socket
from pathlib import Path

import pytest
from testkit.hosting import APP, RunningHost, Starter

ACTIVITY = '@app.activity_trigger(input_name="x")\ndef f(x): pass\n\n'


def make_app(folder: Path, source: str) -> Path:
    app = folder / "app"
    app.mkdir()
    (app / "function_app.py").write_text(source)
    return app


def failed_start(start_host: Starter, tmp_path: Path, app: Path, *arguments: str) -> tuple[int, str]:
    log = tmp_path / "failed.log"
    process = start_host.spawn(*arguments, app=app, env=None, log=log)
    process.communicate(timeout=20)
    return process.returncode, log.read_text()


def test_an_http_function_is_called_with_its_route_values(host: RunningHost) -> None:
    answer = host.ask("GET", "/api/hello/you")
    assert (answer.status, answer.body) == (200, b"hello you from hello")
    assert host.ask("GET", f"{host.base}/API/HELLO").body == b"hello nobody from hello"
    assert host.ask("GET", "/api/hello/a%0Ab").body == b"hello a\nb from hello"


def test_custom_headers_are_on_every_answer(host: RunningHost) -> None:
    assert host.ask("GET", "/api/hello").headers["x-content-type-options"] == "nosniff"
    assert host.ask("GET", "/instances/none").headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/start/x"), ("GET", "/api/nowhere"), ("GET", "/nowhere")]
)
def test_what_no_function_answers_is_not_found(host: RunningHost, method: str, path: str) -> None:
    answer = host.ask(method, host.base + path)
    assert (answer.status, answer.body) == (404, b"")


def test_a_function_that_raises_answers_500_without_a_body(host: RunningHost) -> None:
    answer = host.ask("GET", "/api/boom")
    assert (answer.status, answer.body) == (500, b"")


def test_a_timer_function_runs_when_asked_by_name(start_host: Starter, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    host = start_host(env={"TRACE_FILE": str(trace)})
    assert host.ask("POST", "/admin/functions/janitor", "{}").status == 202
    assert trace.read_text() == "janitor past_due=False\n"


def test_a_timer_function_has_a_durable_client(host: RunningHost) -> None:
    assert host.ask("POST", "/admin/functions/sweeper", "{}").status == 202
    assert host.until("swept")["output"] == {"sum": 1, "sum_async": 1}


def test_a_timer_function_runs_at_the_start_and_on_its_schedule(start_host: Starter, tmp_path: Path) -> None:
    source = (
        "import os\nfrom pathlib import Path\nimport azure.functions as func\napp = func.FunctionApp()\n"
        '@app.timer_trigger(schedule="%EVERY%", arg_name="t", run_on_startup=True)\n'
        "async def tick(t: func.TimerRequest):\n"
        '    with Path(os.environ["TRACE_FILE"]).open("a") as trace:\n        trace.write("tick\\n")\n'
    )
    trace = tmp_path / "trace"
    env = {"TRACE_FILE": str(trace), "EVERY": "* * * * * *"}
    host = start_host(app=make_app(tmp_path, source), env=env)
    host.until_true(trace.exists, bool)
    host.until_true(trace.read_text, lambda text: text.count("tick") >= 2)


def test_a_function_in_flight_does_not_hold_the_exit_back(start_host: Starter, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    host = start_host(env={"TRACE_FILE": str(trace)})
    host.start("sleep_long")
    host.until_true(trace.exists, bool)
    assert host.stop() == 0


def test_keys_are_asked_for_when_switched_on(start_host: Starter, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    host = start_host("--enable-auth", "--ready-file", str(ready))
    keys = json.loads(ready.read_text())

    def status(method: str, path: str, key: str | None) -> int:
        return host.ask(method, path, headers={"x-functions-key": keys[key]} if key else {}).status

    assert status("GET", "/api/hello", None) == 200
    assert status("POST", "/api/start/wait_go", None) == 401
    assert status("POST", "/api/start/wait_go", "function_key") == 202
    assert status("POST", "/api/start/wait_go", "master_key") == 202
    assert status("GET", "/api/boom", "function_key") == 401
    assert status("GET", "/api/boom", "master_key") == 500
    assert status("GET", "/instances", "function_key") == 401
    assert status("GET", "/instances", "system_key") == 200
    assert status("GET", "/admin/functions", "system_key") == 401
    assert status("GET", "/admin/functions", "master_key") == 200
    assert host.ask("GET", f"/instances?code={keys['system_key']}").status == 200


def test_an_import_error_is_shown_with_its_last_frame(start_host: Starter, tmp_path: Path) -> None:
    app = make_app(tmp_path, "import azure.functions\nimport no_such_package\n")
    code, log = failed_start(start_host, tmp_path, app)
    assert code == 1
    assert f"{app / 'function_app.py'}:2" in log
    assert "ModuleNotFoundError: No module named 'no_such_package'" in log


@pytest.mark.parametrize(
    ("decorator", "named"),
    [
        ('@app.queue_trigger(arg_name="x", queue_name="q", connection="c")', "queueTrigger"),
        ('@app.entity_trigger(context_name="x")', "entityTrigger"),
    ],
)
def test_a_trigger_that_is_not_served_is_refused_by_name(
    start_host: Starter, tmp_path: Path, decorator: str, named: str
) -> None:
    source = f"import azure.durable_functions as df\napp = df.DFApp()\n{decorator}\ndef f(x): pass\n"
    code, log = failed_start(start_host, tmp_path, make_app(tmp_path, source))
    assert code == 1
    assert f"function 'f' uses {named}, which this host does not serve" in log


def test_a_state_file_that_cannot_be_written_is_named(start_host: Starter, tmp_path: Path) -> None:
    code, log = failed_start(start_host, tmp_path, APP, "--state", str(tmp_path))
    assert code == 1
    assert f"{tmp_path} cannot be used (unable to open database file)" in log


def test_two_apps_in_one_file_are_refused(start_host: Starter, tmp_path: Path) -> None:
    source = "import azure.functions as func\na = func.FunctionApp()\nb = func.FunctionApp()\n"
    code, log = failed_start(start_host, tmp_path, make_app(tmp_path, source))
    assert (code, "has 2 function apps at its top level; keep one" in log) == (1, True)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys\nsys.exit(0)", "function_app.py:6 in <module>: SystemExit: 0"),
        ('@app.route(route="a")\ndef f(): pass', "function 'f' has no parameter req"),
        ('@app.route(route="a")\ndef f(req, other): pass', "function 'f' takes other, which nothing binds"),
        (
            '@app.route(route="a")\ndef f(req: func.HttpRequest | None): pass',
            "function 'f' annotates req with a union",
        ),
        ('@app.route(route="a")\ndef f(req: "Gone"): pass', "name 'Gone' is not defined"),
        (
            '@app.route(route="a")\ndef f(req): pass\n\n@app.route(route="b")\ndef f(req): pass',
            "Function f does not have a unique function name",
        ),
        (
            f"{ACTIVITY}{ACTIVITY.replace('f(x)', 'F(x)')}",
            "functions 'f' and 'F' share the name 'F'",
        ),
        (
            f'{ACTIVITY}@app.activity_trigger(input_name="x", activity="f")\ndef g(x): pass',
            "functions 'f' and 'g' share the name 'f'",
        ),
        ('@app.route(route="{a}/{a}")\ndef f(req): pass', "function 'f' has the route '{a}/{a}'"),
    ],
)
def test_an_app_that_the_real_worker_does_not_load_is_refused(
    start_host: Starter, tmp_path: Path, source: str, said: str
) -> None:
    preamble = "import azure.durable_functions as df\nimport azure.functions as func\n\napp = df.DFApp()\n"
    code, log = failed_start(start_host, tmp_path, make_app(tmp_path, f"{preamble}{source}\n"))
    assert code == 1
    assert said in log
    assert "Traceback" not in log


def test_a_schedule_that_is_none_is_refused(start_host: Starter, tmp_path: Path) -> None:
    source = (
        "import azure.functions as func\napp = func.FunctionApp()\n"
        '@app.timer_trigger(schedule="* * *", arg_name="t")\ndef f(t: func.TimerRequest): pass\n'
    )
    code, log = failed_start(start_host, tmp_path, make_app(tmp_path, source))
    assert (code, "'* * *' is no NCRONTAB schedule" in log) == (1, True)


def test_a_taken_port_is_named_with_a_remedy(start_host: Starter, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, log = failed_start(start_host, tmp_path, APP, "--port", str(port))
    assert code == 1
    assert log.count("\n") == 1
    assert f"port {port} on 127.0.0.1 cannot be used (Address already in use)" in log
    assert "name another port" in log


def test_a_function_that_takes_too_long_fails(start_host: Starter, tmp_path: Path) -> None:
    app = make_app(tmp_path, (APP / "function_app.py").read_text())
    (app / "host.json").write_text('{"functionTimeout": "00:00:00.2"}')
    host = start_host(app=app)
    status = host.until(host.start("leave_activity_open"), query="?showHistory=true")
    (failed,) = (event for event in status["historyEvents"] if event["EventType"] == "TaskFailed")
    assert "Timeout value of 00:00:00.2000000 was exceeded by function: Functions.nap" in failed["Reason"]


def test_slow_activities_starve_orchestrators_as_they_do_for_real(
    start_host: Starter, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    host = start_host(env={"PYTHON_THREADPOOL_THREAD_COUNT": "1", "TRACE_FILE": str(trace)})
    slow = host.start("leave_activity_open")
    host.until_true(trace.exists, bool)
    host.run("fail_plainly")
    host.until(slow)
    assert trace.read_text().splitlines() == ["nap 0.5", "rested", "fail_plainly"]


def test_real_timers_of_less_than_a_second_fire_at_once(start_host: Starter) -> None:
    assert start_host("--real-timers").run("one_timer", 0.9)["output"] < 0
