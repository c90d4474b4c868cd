"""Waiting until the account lets this node in: quietly, and saying for what."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING

from .answering import heeding_signals
from .blobs import Account, BlobReader
from .errors import IdentityBusy, MayPass, RoleMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from .manifest import File

FIRST_PAUSE_SECONDS = 1.0
# A grant takes one to three minutes, a network rule up to 90 s: asking more often tells nothing sooner.
LONGEST_PAUSE_SECONDS = 15.0


class Access:
    """One look's patience with the account, whether it refuses at the door or on the way."""

    def __init__(self, account: Account, patience_seconds: float, tell: Callable[[MayPass], None]) -> None:
        self._account = account
        self._patience_seconds = patience_seconds
        self._tell = tell
        self._fetched = 0
        self._refused_at: float | None = None
        self._pause = FIRST_PAUSE_SECONDS

    def fetched(self, size: int) -> None:
        """More than before restores the patience."""
        if size > self._fetched:
            self._fetched, self._refused_at, self._pause = size, None, FIRST_PAUSE_SECONDS

    def wait_for(self, file: File) -> None:
        """Return once the head of `file` can be read.

        A closed account is waited for without limit: only the control plane knows whether it will open.

        Raises:
            AgentError: waiting is of no use, or no role or token was to be had within the patience.
        """
        reader = BlobReader(self._account)
        while True:
            try:
                heeding_signals(partial(reader.probe, file))
            except MayPass as error:
                self.refused(error)
            else:
                reader.close()
                return

    def refused(self, error: MayPass) -> None:
        """Say so and pause, or raise `error`; heads that were readable meanwhile prove nothing."""
        if isinstance(error, RoleMissing | IdentityBusy):
            self._refused_at = self._refused_at or time.monotonic()
            if time.monotonic() - self._refused_at >= self._patience_seconds:
                raise error
        self._tell(error)
        # Spread, so that a thousand nodes do not knock at the same moment.
        time.sleep(max(error.retry_after_seconds or 0, self._pause * random.uniform(0.5, 1.0)))  # noqa: S311
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
