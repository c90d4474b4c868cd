"""When a durable timer rings."""

from datetime import UTC, datetime, timedelta

import pytest

from local.host.engine.clock import Alarm, exact, like_azure_storage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def alarm(seconds: float) -> Alarm:
    return Alarm(
        fire_at=NOW + timedelta(seconds=seconds),
        created_at=NOW,
        instance_id="i",
        execution_id="x",
        sequence=0,
    )


def test_an_exact_timer_fires_when_due() -> None:
    assert exact(alarm(1.7)) == NOW + timedelta(seconds=1.7)


@pytest.mark.parametrize("seconds", [-5.0, 0.5, 0.999])
def test_a_real_timer_of_less_than_a_second_fires_at_once(seconds: float) -> None:
    assert like_azure_storage(timedelta(seconds=30))(alarm(seconds)) == NOW


def test_a_real_timer_fires_early_by_the_fraction_and_late_by_a_poll() -> None:
    punctuality = like_azure_storage(timedelta(seconds=2))
    times = [punctuality(alarm(10.9)) for _ in range(50)]
    assert min(times) >= NOW + timedelta(seconds=10)
    assert min(times) < NOW + timedelta(seconds=10.9)
    assert max(times) <= NOW + timedelta(seconds=12)
    assert max(times) > NOW + timedelta(seconds=10.9)
