"""Waiting until the account lets this node in: quietly, and saying for what."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from .blobs import Account, BlobReader
from .errors import IdentityBusy, MayPass, RoleMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from .manifest import File

FIRST_PAUSE_SECONDS = 1.0
# A grant takes one to three minutes, a network rule up to 90 s: asking more often tells nothing sooner.
LONGEST_PAUSE_SECONDS = 15.0


def wait_for_access(
    account: Account, file: File, patience_seconds: float, tell: Callable[[MayPass], None]
) -> None:
    """Return once the head of `file` can be read; `tell` hears each reason why it cannot be yet.

    A closed account is waited for without limit: only the control plane knows whether it will open.

    Raises:
        RoleMissing, IdentityBusy: no role, or no token, after `patience_seconds`.
        WillNotPass: waiting is of no use.
    """
    reader = BlobReader(account)
    until = time.monotonic() + patience_seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            reader.probe(file)
        except MayPass as error:
            if isinstance(error, RoleMissing | IdentityBusy) and time.monotonic() > until:
                raise
            tell(error)
            # Spread, so that a thousand nodes do not knock at the same moment.
            time.sleep(max(error.retry_after_seconds or 0, pause * random.uniform(0.5, 1.0)))  # noqa: S311
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        else:
            reader.close()
            return
