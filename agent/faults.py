"""Whatever goes wrong gets a name, so that it reaches the report: the disk's faults, and the agent's own."""

from __future__ import annotations

import errno
import traceback

from .errors import AgentError, BadManifest, Damaged, Internal
from .space import disk_full

BROKEN = frozenset({errno.EROFS, errno.EIO})
# Its root has no capabilities: what belongs to others, and is open to them alone, is closed to it.
FOREIGN = frozenset({errno.EACCES, errno.EPERM})
# A folder, a file or a link where something else should be.
IN_THE_WAY = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENOTEMPTY})


def named(error: Exception) -> AgentError:
    """The error as the agent tells it; of one that nobody foresaw, the log gets the traceback."""
    if isinstance(error, AgentError):
        return error
    fault = _of_disk(error) if isinstance(error, OSError) else None
    if fault is None:
        traceback.print_exception(error)
        return Internal(f"{type(error).__name__}: {error}")
    fault.__cause__ = error
    return fault


def _of_disk(error: OSError) -> AgentError | None:
    """The cause that an operator can mend, if the error has one."""
    said = f"{error.filename or 'the database'}: {error.strerror}"
    if error.errno in BROKEN:
        return Damaged(said, remedy="the disk cannot be used as it is: check the node, or replace it")
    if error.errno in IN_THE_WAY:
        return BadManifest(
            f"something that is not the agent's is in its way: {said}", remedy="remove it from the node"
        )
    if error.errno in FOREIGN:
        return BadManifest(
            f"the node's folder is not this agent's to write: {said}",
            remedy="give it to root on the node (chown), or take it away",
        )
    return disk_full(error, "what the agent notes down")
