"""The gate while keys are fetched: a crowd of strangers is one question to the authority."""

import asyncio
import threading

import azure.functions as func
import pytest

from entrypoints.answering import ShutDoorError
from entrypoints.authorising import Gate
from shared.domain.callers import Caller, Permissions, Stranger

CROWD = 200
FREE = Permissions(reader_role=None, operator_role=None, clusters=("*",), accounts=("*",), registries=("*",))


class SlowAuthority:
    """Callers whose keys take as long to fetch as a test wants."""

    def __init__(self) -> None:
        self.fetches = 0
        self.known = False
        self.answered = threading.Event()

    def recognise(self, token: str) -> Caller | Stranger | None:
        del token
        return Stranger(why="nobody knows its key") if self.known else None

    def learn(self) -> None:
        self.fetches += 1
        self.answered.wait()
        self.known = True


def test_a_crowd_with_unknown_keys_is_one_fetch_and_takes_one_thread() -> None:
    authority = SlowAuthority()
    gate = Gate(permissions=FREE, callers=authority, development_bypass=False)
    request = func.HttpRequest(method="GET", url="/", headers={"authorization": "Bearer x"}, body=b"")

    async def knock() -> None:
        with pytest.raises(ShutDoorError, match="nobody knows its key"):
            await gate.reader(request)

    async def all_at_once() -> None:
        crowd = [asyncio.create_task(knock()) for _ in range(CROWD)]
        await asyncio.sleep(0)
        authority.answered.set()
        await asyncio.gather(*crowd)

    asyncio.run(all_at_once())

    assert authority.fetches == 1
