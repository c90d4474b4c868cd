"""What keeps workers from getting on, told to the agent without a lock.

Each worker has a slot of its own in memory shared by fork: one that is killed while it writes holds nobody
up, and garbles a sentence at worst.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from .errors import MayPass, Network, RoleMissing, StorageClosed, Throttled

if TYPE_CHECKING:
    from .errors import AgentError

# A slot begins with the place of the error's kind among these, from 1; 0 is no trouble.
KINDS: tuple[type[MayPass], ...] = (Network, Throttled, StorageClosed, RoleMissing)
SLOT_BYTES = 512


class Troubles:
    """One slot per worker.

    >>> troubles = Troubles(workers=2)
    >>> troubles.tell(1, Throttled("nt.nsq: the account is busy"))
    >>> str(troubles.any())
    'nt.nsq: the account is busy'
    >>> troubles.forget(1)
    >>> troubles.any() is None
    True
    """

    def __init__(self, workers: int) -> None:
        self._slots = mmap.mmap(-1, SLOT_BYTES * workers)
        self._workers = workers

    def tell(self, worker: int, error: MayPass) -> None:
        """The worker meets this, until it says otherwise."""
        kind = next(place for place, kind in enumerate(KINDS, 1) if isinstance(error, kind))
        said = bytes([kind]) + str(error).encode()[: SLOT_BYTES - 1]
        self._slots[worker * SLOT_BYTES : (worker + 1) * SLOT_BYTES] = said.ljust(SLOT_BYTES, b"\0")

    def forget(self, worker: int) -> None:
        """The worker gets on."""
        self._slots[worker * SLOT_BYTES] = 0

    def any(self) -> AgentError | None:
        """What the first worker in trouble meets."""
        for worker in range(self._workers):
            slot = self._slots[worker * SLOT_BYTES : (worker + 1) * SLOT_BYTES]
            if slot[0]:
                return KINDS[slot[0] - 1](slot[1:].rstrip(b"\0").decode(errors="replace"))
        return None
