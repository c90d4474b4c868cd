"""A node's pace outlives agents, but no boot of the node."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.pacing import SLOT, Ceiling

if TYPE_CHECKING:
    from pathlib import Path


def test_a_pace_of_before_the_node_was_started_again_means_nothing(tmp_path: Path) -> None:
    hours_ahead = time.monotonic() + 9999
    (tmp_path / "pace").write_bytes(SLOT.pack(b"another boot", hours_ahead))

    Ceiling(1e9, tmp_path / "pace").wait_for(1)

    assert SLOT.unpack((tmp_path / "pace").read_bytes())[1] < hours_ahead
