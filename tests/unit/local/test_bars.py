"""What a terminal shows of the nodes at work."""

import pytest

from local import bars


def test_a_bar_tells_bytes_rate_time_left_and_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, as far as the console knows
    node = {
        "node": "node-0",
        "phase": "copying",
        "bytes_done": 66_000_000,
        "bytes_total": 132_000_000,
        "bytes_per_second": 12_000_000,
        "eta_seconds": 6,
    }
    with bars.console.capture() as shown, bars.NodeBars() as drawn:
        drawn.show([node], "warming_up")

    assert all(word in shown.get() for word in ("node-0", "50 %", "12.0 MB/s", "6 s left", "copying"))
