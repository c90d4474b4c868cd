"""`python -m local.azure --config FILE`: serve until told to stop."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from local.azure.serving import Azure
from local.azure.settings import SettingsError, read_settings


def main() -> None:
    """Read the configuration and serve."""
    parser = argparse.ArgumentParser(prog="python -m local.azure", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a JSON file, see local/azure/settings.py")
    try:
        settings = read_settings(parser.parse_args().config)
    except SettingsError as error:
        raise SystemExit(str(error)) from error
    asyncio.run(Azure(settings).serve())


if __name__ == "__main__":
    main()
