"""The whole chain on the laptop stack: HTTP in, bytes on three nodes out."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from testkit.fate import OPENING_AND_CLOSING
from testkit.stack import DATABASE, LARGE_DATABASE, LaptopStack
from testkit.waiting import wait_until

from local import evidence, processes, wiring
from shared.domain import naming

pytestmark = pytest.mark.stack


def test_a_warm_up_puts_every_byte_onto_every_node(stack: LaptopStack) -> None:
    files = evidence.database_files(stack.sources[DATABASE])

    ended = stack.warm(DATABASE)

    assert ended["output"]["status"] == "succeeded", ended
    for node in stack.up.wiring.node_names:
        folder = stack.places.blast_folder(node)
        assert evidence.differing_files(stack.sources[DATABASE], folder, files) == []
    found = {entry["name"]: entry for entry in stack.dashboard.warmth()["databases"]}
    assert (found[DATABASE]["status"], found[DATABASE]["nodes_ready"]) == ("Ready", 3)
    assert stack.network()["public_access"] == "Disabled"


def test_a_second_warm_up_fetches_nothing(stack: LaptopStack) -> None:
    stack.warm(DATABASE)
    log = stack.blob_log()

    ended = stack.warm(DATABASE)

    assert ended["output"]["status"] == "succeeded", ended
    assert log.since() == {}


def test_a_truncated_file_is_fetched_again_on_its_node_alone(stack: LaptopStack) -> None:
    stack.warm(DATABASE)
    name, node = f"{DATABASE}.nsq", stack.up.wiring.node_names[1]
    os.truncate(stack.places.blast_folder(node) / name, 1000)
    log = stack.blob_log()

    ended = stack.warm(DATABASE)

    assert ended["output"]["status"] == "succeeded", ended
    fetched = log.since()
    assert list(fetched) == [node]
    assert fetched[node].files == {name}


def test_a_changed_byte_with_its_time_put_back_is_found_by_verify_only(stack: LaptopStack) -> None:
    stack.warm(DATABASE)
    file = stack.places.blast_folder(stack.up.wiring.node_names[0]) / f"{DATABASE}.nsq"
    times, content = file.stat(), bytearray(file.read_bytes())
    content[1000] ^= 0xFF
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    ended = stack.warm(DATABASE, verify_only=True)

    assert ended["output"]["status"] == "failed", ended
    assert ended["output"]["nodes_failed"] == 1
    assert stack.warm(DATABASE)["output"]["status"] == "succeeded"
    assert evidence.digest(file) == evidence.digest(stack.sources[DATABASE] / file.name)


def test_fifty_starts_at_once_are_one_run(stack: LaptopStack) -> None:
    def start(number: int) -> tuple[int, str]:
        status, answer = stack.ask(
            "POST", "warmup/start", stack.body(DATABASE), **{"x-client-request-id": f"request-{number}"}
        )
        return status, answer.get("instance_id", str(answer))

    before, writes = stack.network(), len(stack.fate.arm_writes())
    with ThreadPoolExecutor(50) as pool:
        answers = set(pool.map(start, range(50)))

    assert len(answers) == 1, answers
    status, run_id = answers.pop()
    assert status == 202
    assert stack.finish(run_id)["output"]["status"] == "succeeded"
    assert stack.fate.network_changes(writes) == OPENING_AND_CLOSING
    assert stack.network() == before


def test_a_repeated_request_is_the_same_run(stack: LaptopStack) -> None:
    headers = {"x-client-request-id": "pressed-once"}
    first = stack.ask("POST", "warmup/start", stack.body(DATABASE), **headers)[1]["instance_id"]
    stack.finish(first)

    assert stack.ask("POST", "warmup/start", stack.body(DATABASE), **headers)[1]["instance_id"] == first


@pytest.mark.parametrize(
    ("database", "told"),
    [("never_staged", "is not staged"), ("rrna16s_arch", "is not staged")],
)
def test_a_database_that_is_not_there_is_refused_before_anything_is_created(
    stack: LaptopStack, database: str, told: str
) -> None:
    ended = stack.warm(database)

    assert ended["output"]["status"] == "failed"
    assert told in ended["output"]["error"]
    assert database not in {entry["name"] for entry in stack.dashboard.warmth()["databases"]}


@pytest.mark.parametrize(
    "name",
    ["x'; touch /tmp/pwned; '", "$(reboot)", "../../etc", "https://evil.example/db", "a\nb", "", 7, ["a", 1]],
)
def test_a_hostile_name_is_refused_at_the_door(stack: LaptopStack, name: object) -> None:
    status, answer = stack.ask(
        "POST", "warmup/start", stack.body(DATABASE) | {"db": name, "db_display_name": name}
    )

    assert status == 400, answer
    assert "db" in answer["error"]


def test_a_cancelled_run_leaves_no_pods_and_a_closed_account(stack: LaptopStack) -> None:
    before = stack.network()
    run_id = stack.ask("POST", "warmup/start", stack.body(LARGE_DATABASE, max_mbps_per_node=2))[1][
        "instance_id"
    ]
    stack.await_status(run_id, lambda status: (status["custom_status"] or {}).get("phase") == "warming_up")

    assert stack.ask("POST", f"warmup/{run_id}/cancel", {})[0] == 202
    ended = stack.finish(run_id)

    assert ended["output"]["status"] == "cancelled"
    assert LARGE_DATABASE not in {entry["name"] for entry in stack.dashboard.warmth()["databases"]}
    assert stack.network() == before


def test_a_run_goes_on_where_its_killed_host_left_it(stack: LaptopStack) -> None:
    run_id = stack.ask("POST", "warmup/start", stack.body(LARGE_DATABASE, max_mbps_per_node=20))[1][
        "instance_id"
    ]
    stack.await_status(run_id, lambda status: (status["custom_status"] or {}).get("phase") == "warming_up")

    host = next(each for each in stack.up.started if each.name == "host")
    os.kill(host.pid, signal.SIGKILL)
    wait_until(lambda: not host.is_alive)
    program = next(each for each in wiring.programs(stack.up.wiring) if each.name == "host")
    again = processes.start(program, log=stack.places.logs / "host.log")
    try:
        stack.await_health()
        assert stack.finish(run_id)["output"]["status"] == "succeeded"
    finally:
        stack.replace_process(host, again)


def test_a_host_that_dies_at_one_activity_after_another_ends_the_run_well(stack: LaptopStack) -> None:
    before = stack.network()
    stack.empty_nodes()
    run_id = stack.start(LARGE_DATABASE, max_mbps_per_node=20)
    for effect in ("kill_before", "kill_after") * 2:
        stack.kill_host(effect)

    ended = stack.finish(run_id)

    assert ended["output"]["status"] == "succeeded", ended
    assert stack.network() == before
    files = evidence.database_files(stack.sources[LARGE_DATABASE])
    for node in stack.up.wiring.node_names:
        folder = stack.places.blast_folder(node)
        assert evidence.differing_files(stack.sources[LARGE_DATABASE], folder, files) == []


def test_nothing_secret_is_written_anywhere(stack: LaptopStack) -> None:
    marked = "marked-by-this-test"
    body = stack.body(DATABASE, terminal_vm_password=marked, token=marked, extra={"sas": marked})
    status, answer = stack.ask("POST", "warmup/start", body, Authorization=f"Bearer {marked}")
    assert (status, marked in str(answer)) == (401, False)
    status, answer = stack.ask("POST", "warmup/start", body, Cookie=f"session={marked}")
    assert status == 202, answer
    assert stack.finish(answer["instance_id"])["output"]["status"] == "succeeded"
    written = stack.everything_written()

    for real in (wiring.DATA_ACCOUNT, '"departed"', naming.RUN_ANNOTATION):
        assert real in written  # what was read is the real thing
    for secret in (*stack.secrets(), marked):
        assert secret not in written
    assert "eyJ" not in written  # how every JWT begins
    assert "sig=" not in written
