"""The hub's file, damaged: what is left of it is what was written, and the rest is named."""

import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.host.engine.checkpoint import Checkpoint, open_checkpoint
from local.host.engine.instances import InstanceView, Snapshot
from local.host.protocol.history import Identity

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


def snapshot(number: int) -> Snapshot:
    view = InstanceView(
        instance_id=f"run-{number}",
        name="story",
        status="Running",
        input=f'"{number}"',
        output=None,
        custom_status="x" * 300,
        created_at=MOMENT,
        last_updated_at=MOMENT,
        version=None,
    )
    dice = random.Random(number)  # noqa: S311 - repeatable, not secret
    return Snapshot(
        view=view,
        identity=Identity(execution_id=f"{number:032x}", generation=0),
        history=dice.randbytes(dice.randrange(200, 9_000)),
        pending=b"",
        failure=b"",
    )


WRITTEN = {f"run-{number}": snapshot(number) for number in range(40)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed checkpoint that holds all that was written."""
    path = tmp_path_factory.mktemp("whole") / "state.db"
    checkpoint = Checkpoint(path)
    checkpoint.save(WRITTEN)
    checkpoint.secret("system", "a key")
    checkpoint.close()
    return path


def test_a_whole_file_tells_everything(whole: Path) -> None:
    opened = open_checkpoint(whole)
    opened.checkpoint.close()
    assert (opened.aside, opened.contents.instances) == (None, WRITTEN)


@pytest.mark.parametrize("seed", range(60))
def test_random_bytes_anywhere_cost_only_what_they_hit(whole: Path, tmp_path: Path, seed: int) -> None:
    path = Path(shutil.copy(whole, tmp_path / "state.db"))
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    place = dice.randrange(path.stat().st_size - 600)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(dice.randbytes(600))

    opened = open_checkpoint(path)
    kept = opened.contents.instances
    assert all(WRITTEN[instance_id] == each for instance_id, each in kept.items())
    if place >= 4096:  # the first page says where everything is
        assert len(kept) >= len(WRITTEN) // 2
    if opened.aside is not None:
        assert opened.aside.exists()
    opened.checkpoint.close()

    again = open_checkpoint(path)
    assert (again.aside, again.contents.instances) == (None, kept)
    again.checkpoint.close()


def test_half_a_file_is_set_aside(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    opened = open_checkpoint(path)
    opened.checkpoint.close()
    assert opened.aside is not None
    assert opened.aside.stat().st_size == whole.stat().st_size // 2


def test_the_log_is_set_aside_with_its_file(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"")
    path.with_name("state.db-wal").write_bytes(whole.read_bytes())
    opened = open_checkpoint(path)
    opened.checkpoint.close()
    assert opened.aside is not None
    assert opened.aside.with_name(f"{opened.aside.name}-wal").read_bytes() == whole.read_bytes()
