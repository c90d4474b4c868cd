"""The agent's modules, as texts."""

from pathlib import Path

import pytest

from shared.adapters.agent_files import read_agent_files

AGENT = Path(__file__).parents[3] / "agent"


def test_the_apps_own_agent_is_read_whole() -> None:
    files = read_agent_files(AGENT)

    assert set(files) == {file.name for file in AGENT.glob("*.py")}
    assert files["errors.py"] == (AGENT / "errors.py").read_text()


def test_an_app_without_its_agent_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no agent"):
        read_agent_files(tmp_path)
