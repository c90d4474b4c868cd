"""Which ports the stack's servers get."""

import socket

import pytest

from local.ports import LOOPBACK, PortError, choose_ports, free

NAMES = ("host", "arm", "blob")


def test_every_server_gets_a_port_of_its_own() -> None:
    same = free(0)
    chosen = choose_ports(NAMES, dict.fromkeys(NAMES, same), {})

    assert chosen["host"] == same
    assert len(set(chosen.values())) == len(NAMES)


def test_ports_of_last_time_stay() -> None:
    last = choose_ports(NAMES, {}, {})

    assert choose_ports(NAMES, last, {}) == last


def test_a_port_that_is_set_goes_to_its_server_whoever_had_it() -> None:
    last = choose_ports(NAMES, {}, {})
    chosen = choose_ports(NAMES, last, {"STACK_PORT_BLOB": str(last["host"])})

    assert chosen["blob"] == last["host"]
    assert chosen["arm"] == last["arm"]
    assert chosen["host"] not in last.values()


def test_a_port_that_somebody_listens_on_is_not_chosen_again() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]

        assert choose_ports(NAMES, {"host": port}, {})["host"] != port


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
        choose_ports(NAMES, {}, environ)


def test_one_port_is_not_set_twice() -> None:
    port = str(free(0))

    with pytest.raises(PortError, match="and so is another"):
        choose_ports(NAMES, {}, {"STACK_PORT_HOST": port, "STACK_PORT_ARM": port})
