"""On the path of a program, this kills it before it removes or renames a file for the n-th time.

MOMENT          n, counted from 0
MOMENT_NAMES    what a file's path must match to be counted
"""

import os
import re
import signal
import sys
from itertools import count

_PROGRAM = os.getpid()  # not those it starts
_LAST = int(os.environ["MOMENT"])
_NAMES = re.compile(os.environ["MOMENT_NAMES"])
_counted = count()


def _die_in_time(event: str, arguments: tuple[object, ...]) -> None:
    takes_away = event in {"os.remove", "os.rename", "os.rmdir"} and os.getpid() == _PROGRAM
    if takes_away and any(map(_NAMES.search, map(str, arguments))) and next(_counted) == _LAST:
        os.kill(_PROGRAM, signal.SIGKILL)


sys.addaudithook(_die_in_time)
