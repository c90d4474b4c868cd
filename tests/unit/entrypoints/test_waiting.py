"""Waiting for what blocks: shared, within a budget, and not again too soon after a failure."""

import asyncio
import threading

import pytest

from entrypoints.waiting import (
    LONGEST_BREAK_SECONDS,
    MAX_KEPT,
    SHARED_SECONDS,
    Budget,
    SharedQuestions,
    SharedReadings,
    eventually,
    within,
)
from shared.ports import PassingError

BUDGET_SECONDS = 0.05


class Source:
    """Something to read: counts its readers, and fails or hangs when told to."""

    def __init__(self) -> None:
        self.read = 0
        self.fails = False
        self.released = threading.Event()
        self.released.set()
        self.done = threading.Event()

    def __call__(self) -> int:
        self.released.wait()
        self.read += 1
        self.done.set()
        if self.fails:
            raise PassingError("no route")
        return self.read


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def readings(clock: Clock) -> SharedReadings[str, int]:
    return SharedReadings("the cluster", Budget(seconds=BUDGET_SECONDS), clock)


def test_all_who_ask_together_share_one_reading(readings: SharedReadings[str, int], source: Source) -> None:
    async def ask_together() -> list[int]:
        return await asyncio.gather(*(readings.get("c1", source) for _ in range(100)))

    assert set(asyncio.run(ask_together())) == {1}


def test_a_reading_is_shared_for_five_seconds_and_then_renewed(
    readings: SharedReadings[str, int], source: Source, clock: Clock
) -> None:
    async def ask_thrice() -> list[int]:
        first = await readings.get("c1", source)
        clock.seconds += SHARED_SECONDS
        second = await readings.get("c1", source)
        clock.seconds += 1
        return [first, second, await readings.get("c1", source)]

    assert asyncio.run(ask_thrice()) == [1, 1, 2]


def test_readings_of_different_clusters_are_apart(readings: SharedReadings[str, int], source: Source) -> None:
    async def ask_two() -> list[int]:
        return [await readings.get("c1", source), await readings.get("c2", source)]

    assert asyncio.run(ask_two()) == [1, 2]


def test_what_hangs_is_waited_for_within_the_budget_and_started_once(
    readings: SharedReadings[str, int], source: Source, clock: Clock
) -> None:
    async def ask_thrice() -> int:
        source.released.clear()
        for _ in range(2):
            with pytest.raises(PassingError, match="did not answer"):
                await readings.get("c1", source)
            clock.seconds += 1  # the budget is over: whoever asks now is answered at once
        source.released.set()
        await asyncio.to_thread(source.done.wait)
        clock.seconds = 0.0
        return await readings.get("c1", source)

    assert asyncio.run(ask_thrice()) == 1


def test_what_keeps_failing_is_asked_ever_less_often(
    readings: SharedReadings[str, int], source: Source, clock: Clock
) -> None:
    source.fails = True

    async def ask_for_an_hour() -> None:
        for _ in range(3_600):
            with pytest.raises(PassingError, match="no route"):
                await readings.get("c1", source)
            clock.seconds += 1

    asyncio.run(ask_for_an_hour())

    assert source.read <= 3_600 / LONGEST_BREAK_SECONDS + 6


def test_one_success_ends_the_break(readings: SharedReadings[str, int], source: Source, clock: Clock) -> None:
    async def fail_then_recover() -> None:
        source.fails = True
        for _ in range(4):
            with pytest.raises(PassingError):
                await readings.get("c1", source)
            clock.seconds += LONGEST_BREAK_SECONDS + 1
        source.fails = False
        await readings.get("c1", source)
        clock.seconds += SHARED_SECONDS + 1
        await readings.get("c1", source)

    asyncio.run(fail_then_recover())

    assert source.read == 6


def test_a_blocking_call_does_not_outlast_its_budget(source: Source) -> None:
    source.released.clear()

    async def ask() -> None:
        try:
            with pytest.raises(PassingError, match="the store did not answer within"):
                await within(BUDGET_SECONDS, "the store", source)
        finally:
            source.released.set()

    asyncio.run(ask())


def test_what_comes_after_a_while_is_found() -> None:
    answers = iter([None, None, "found"])

    async def ask() -> str | None:
        return next(answers)

    assert asyncio.run(eventually(ask)) == "found"


def test_a_question_under_way_is_shared_also_when_one_who_asked_leaves(clock: Clock) -> None:
    async def tell() -> None:
        asked, told, questions = [], asyncio.Event(), SharedQuestions[str, int](1.0, clock)

        async def question() -> int:
            asked.append(1)
            await told.wait()
            return len(asked)

        crowd = [asyncio.create_task(questions.ask("run", question)) for _ in range(5)]
        await asyncio.sleep(0)
        crowd.pop().cancel()
        told.set()
        assert await asyncio.gather(*crowd) == [1] * 4

    asyncio.run(tell())


def test_an_answer_is_good_for_a_second_from_its_question_on(clock: Clock) -> None:
    async def tell() -> list[int]:
        questions, asked = SharedQuestions[str, int](1.0, clock), []

        async def question() -> int:
            asked.append(1)
            clock.seconds += 0.9  # a slow answer is not young when it comes
            return len(asked)

        first = await questions.ask("run", question)
        second = await questions.ask("run", question)
        clock.seconds += 0.2
        return [first, second, await questions.ask("run", question)]

    assert asyncio.run(tell()) == [1, 1, 2]


def test_a_failure_and_an_absence_are_asked_again_at_once(clock: Clock) -> None:
    async def tell() -> str | None:
        questions = SharedQuestions[str, str | None](1.0, clock)
        answers = iter([PassingError("silent"), None, "found"])

        async def question() -> str | None:
            answer = next(answers)
            if isinstance(answer, PassingError):
                raise answer
            return answer

        with pytest.raises(PassingError):
            await questions.ask("run", question)
        assert await questions.ask("run", question) is None
        return await questions.ask("run", question)

    assert asyncio.run(tell()) == "found"


def test_of_many_questions_only_the_latest_are_kept() -> None:
    async def tell() -> int:
        questions, asked = SharedQuestions[int, int](1_000.0), []

        async def question() -> int:
            asked.append(1)
            return len(asked)

        for key in (*range(MAX_KEPT + 1), 0):
            await questions.ask(key, question)
        return len(asked)

    assert asyncio.run(tell()) == MAX_KEPT + 2
