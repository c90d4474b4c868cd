"""Storage accounts that were found by name lately: ARM lets a subscription be listed 100 times in 5 minutes.

An account hardly ever moves, and a dashboard asks for the same few again and again. One thread looks, the
others that want the same wait for it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from shared.domain.model import Account

_KEPT_SECONDS = 3_600
_ABSENCE_KEPT_SECONDS = 60  # whoever has just made an account starts again in a moment
_MOST = 256  # accounts; an app serves tens
_GATES = 16

Key = tuple[str, str]  # subscription and name
Clock = Callable[[], float]


class FoundAccounts:
    """Accounts by subscription and name, found or not, for as long as that may be believed."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Know none."""
        self._clock = clock
        self._known: OrderedDict[Key, tuple[Account | None, float]] = OrderedDict()
        self._lock = Lock()
        self._gates = tuple(Lock() for _ in range(_GATES))

    def get(self, key: Key, look: Callable[[], Account | None]) -> Account | None:
        """What is known, or what a look finds; raises what that raises, and remembers no failure."""
        with self._gates[hash(key) % _GATES]:
            account, until = self._known.get(key, (None, 0.0))
            if self._clock() < until:
                return account
            found = look()
            self._keep(key, found)
            return found

    def forget(self, account: Account) -> None:
        """It is no longer where it was found."""
        with self._lock:
            for key in [key for key, (known, _) in self._known.items() if known == account]:
                del self._known[key]

    def _keep(self, key: Key, found: Account | None) -> None:
        lasts = _ABSENCE_KEPT_SECONDS if found is None else _KEPT_SECONDS
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = (found, self._clock() + lasts)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
