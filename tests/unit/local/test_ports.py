"""Which ports the stack's servers get, and that nobody else gets them meanwhile."""

import socket
from collections.abc import Mapping

import pytest

from local.ports import LOOPBACK, PortError, bind, chosen_ports, held_port, is_free

NAMES = ("host", "arm", "blob")


def choose(last: Mapping[str, int], environ: Mapping[str, str]) -> dict[str, int]:
    with chosen_ports(NAMES, last, environ) as chosen:
        return chosen


def test_every_server_gets_a_port_of_its_own() -> None:
    with held_port() as port:
        same = port
    chosen = choose(dict.fromkeys(NAMES, same), {})

    assert chosen["host"] == same
    assert len(set(chosen.values())) == len(NAMES)


def test_ports_of_last_time_stay() -> None:
    last = choose({}, {})

    assert choose(last, {}) == last


def test_a_port_that_is_set_goes_to_its_server_whoever_had_it() -> None:
    last = choose({}, {})
    chosen = choose(last, {"STACK_PORT_BLOB": str(last["host"])})

    assert chosen["blob"] == last["host"]
    assert chosen["arm"] == last["arm"]
    assert chosen["host"] not in last.values()


@pytest.mark.parametrize("address", [LOOPBACK, "127.0.0.2", "0.0.0.0"])  # noqa: S104 - none is reached
def test_a_port_that_somebody_listens_on_is_not_chosen_again(address: str) -> None:
    with socket.create_server((address, 0)) as taken:
        port = taken.getsockname()[1]

        assert not is_free(port)
        assert choose({"host": port}, {})["host"] != port
        with pytest.raises(PortError, match="cannot be had"):
            choose({}, {"STACK_PORT_HOST": str(port)})
    assert is_free(port)


def test_a_port_is_its_servers_alone_until_that_one_listens() -> None:
    with chosen_ports(NAMES, {}, {}) as chosen:
        port = chosen["blob"]
        with socket.socket() as another, pytest.raises(OSError, match="in use"):
            another.bind((LOOPBACK, port))
        with bind(port, "127.0.0.2") as server:
            server.listen()
            socket.create_connection(("127.0.0.2", port)).close()


def test_a_port_of_last_time_is_had_again_while_its_connections_linger() -> None:
    with bind(0) as server:
        server.listen()
        port = server.getsockname()[1]
        asked = socket.create_connection((LOOPBACK, port))
        answered, _ = server.accept()
        answered.close()  # the first to close: this side waits
        asked.close()

    assert choose({"host": port}, {})["host"] == port


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"STACK_PORT_HOST": "web"}, "STACK_PORT_HOST is 'web', and that port cannot be had"),
        ({"STACK_PORT_HOST": "0"}, "cannot be had"),
        ({"STACK_PORT_HOST": "65536"}, "cannot be had"),
    ],
)
def test_what_is_no_port_is_refused_by_its_setting(environ: dict[str, str], told: str) -> None:
    with pytest.raises(PortError, match=told):
        choose({}, environ)


def test_one_port_is_not_set_twice() -> None:
    with held_port() as held:
        port = str(held)

    with pytest.raises(PortError, match="and so is another"):
        choose({}, {"STACK_PORT_HOST": port, "STACK_PORT_ARM": port})
