"""Puts recorded questions to a host, and plays the callers that the recordings had."""

import json
from collections.abc import Mapping
from typing import Any

from testkit.hosting import RunningHost
from testkit.recordings import Exchange, ask_again, differences, plain, recorded, seen

# Scenario → (path of keys into the answer, why it differs).
Tolerances = Mapping[str, tuple[tuple[str, ...], str]]


class Interview:
    """Puts recorded questions to a host and compares its answers."""

    def __init__(
        self, host: RunningHost, recording: dict[str, list[Exchange]], tolerated: Tolerances
    ) -> None:
        self.host = host
        self._recording = recording
        self._tolerated = tolerated

    def ask(self, *scenarios: str) -> None:
        """Ask all questions of these scenarios in their order."""
        for scenario in scenarios:
            for exchange in self._recording[scenario]:
                self.compare(exchange)

    def ask_one(self, scenario: str, number: int) -> None:
        """Ask one question of a scenario that has several."""
        self.compare(self._recording[scenario][number])

    def compare(self, exchange: Exchange) -> None:
        """Ask and compare, but for what is tolerated."""
        expected, answer = recorded(exchange), seen(ask_again(self.host, exchange))
        if exchange.scenario in self._tolerated:
            keys, _reason = self._tolerated[exchange.scenario]
            assert _take(answer, keys) != _take(expected, keys), f"{exchange.scenario}: needs no tolerance"
        for one in (expected, answer):
            _sort_parallel(one)
        assert not (lines := differences(expected, answer)), "\n".join([exchange.path, *lines])

    def ask_outcome(self, scenario: str, instance_id: str) -> None:
        """Compare how a run ended: where ids of their own or timing make the rest differ."""
        (exchange,) = self._recording[scenario]
        expected, found = recorded(exchange)["body"], plain(self.host.until(instance_id))
        for key in ("runtimeStatus", "customStatus", "output"):
            assert found[key] == expected[key], scenario

    def begin(self, name: str, instance_id: str, payload: object = None, until: str = "Running") -> None:
        """Start an orchestration as the recordings did, and wait for its status."""
        self.host.start(name, payload, instance_id)
        self.host.until(instance_id, until)

    def event(self, instance_id: str, name: str, payload: object) -> None:
        """Raise an event and wait until it is in the history."""
        before = self._events(instance_id)
        self.host.raise_event(instance_id, name, payload)
        self.host.until_true(lambda: self._events(instance_id), lambda count: count != before)

    def until_history(self, instance_id: str, *kinds: str) -> None:
        """Wait until the history has come to this."""
        self.host.until_true(
            lambda: [e["EventType"] for e in self._history(instance_id)], lambda seen: seen == list(kinds)
        )

    def until_custom_status(self, instance_id: str) -> None:
        """Wait until the instance shows a custom status."""
        self.host.until_true(lambda: self.host.status(instance_id)["customStatus"], bool)

    def _history(self, instance_id: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.host.status(instance_id, "?showHistory=true").get(
            "historyEvents", []
        )
        return events

    def _events(self, instance_id: str) -> tuple[object, int]:
        history = self._history(instance_id)
        return history and history[0]["Timestamp"], sum(e["EventType"] == "EventRaised" for e in history)


def _take(answer: dict[str, Any], keys: tuple[str, ...]) -> Any:
    *path, last = keys
    for key in path:
        answer = answer[key]
    return answer.pop(last)


def _sort_parallel(answer: dict[str, Any]) -> None:
    """Put activities that ran side by side into one order: they end in any."""
    if isinstance(answer["body"], dict) and "historyEvents" in answer["body"]:
        events = answer["body"]["historyEvents"]
        done = sorted((e for e in events if e["EventType"] == "TaskCompleted"), key=json.dumps)
        answer["body"]["historyEvents"] = [
            done.pop(0) if e["EventType"] == "TaskCompleted" else e for e in events
        ]
