"""The whole chain with durable timers as the real backend fires them: early by a fraction, late by a poll."""

from pathlib import Path

import pytest
from testkit.stack import DATABASE, laptop_stack

pytestmark = pytest.mark.stack


def test_a_run_ends_well_though_its_timers_fire_early_and_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACK_REAL_TIMERS", "1")
    with laptop_stack(tmp_path) as stack:
        first, again = stack.warm(DATABASE), stack.warm(DATABASE)

    assert [ended["output"]["status"] for ended in (first, again)] == ["succeeded", "succeeded"]
    assert again["output"]["bytes_fetched"] == 0
