"""`python -m local.host APP_DIR`: serve a v2 Functions app from this machine."""

import argparse
import logging
import os
import sys
from pathlib import Path

from local.host.config import ConfigError
from local.host.engine.checkpoint import StateError
from local.host.indexing import IndexingError
from local.host.schedules import ScheduleError
from local.host.serving import Host, Options, PortTakenError


def main() -> int:
    """Serve; 0 after SIGTERM, 1 with a sentence when the host cannot start."""
    arguments = _parse()
    logging.basicConfig(
        level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # These log every start, timer and socket as information.
    for chatty in ("durabletask", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        host = Host(_options(arguments))
    except (ConfigError, IndexingError, PortTakenError, ScheduleError, StateError) as error:
        print(f"the host did not start: {error}", file=sys.stderr)
        return 1
    host.run()
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    parser.add_argument("app_dir", type=Path, help="the folder with function_app.py and host.json")
    parser.add_argument("--port", type=int, default=7071, help="0 takes any free one")
    parser.add_argument("--rpc-port", type=int, default=0, help="where the SDK's durable client calls back")
    parser.add_argument("--state", type=Path, help="the file that runs are kept in; without it, memory only")
    parser.add_argument("--ready-file", type=Path, help="written as JSON (url, pid, keys) once serving")
    parser.add_argument("--enable-auth", action="store_true", help="ask for function keys")
    parser.add_argument(
        "--real-timers", action="store_true", help="fire durable timers as unpunctually as Azure Storage"
    )
    parser.add_argument(
        "--control", action="store_true", help="serve /admin/faults (see local/host/faults.py)"
    )
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return parser.parse_args()


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        app_dir=arguments.app_dir.resolve(),
        port=arguments.port,
        rpc_port=arguments.rpc_port,
        state=arguments.state,
        ready_file=arguments.ready_file,
        enable_auth=arguments.enable_auth,
        real_timers=arguments.real_timers,
        control=arguments.control,
    )


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # User code still running in worker threads would hold a normal exit; everything is on disk.
    os._exit(code)
