"""The agent's own modules, as texts: they travel to the nodes in a ConfigMap."""

from pathlib import Path


def read_agent_files(folder: Path) -> dict[str, str]:
    """Every module of the agent by file name.

    Raises:
        FileNotFoundError: when the folder holds none, since an app without its agent can warm nothing.
    """
    files = {file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py"))}
    if "__main__.py" not in files:
        raise FileNotFoundError(f"{folder} holds no agent (no __main__.py); deploy the folder with the app")
    return files
