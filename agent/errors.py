"""What can end or delay a look, each with its exit code and its remedy.

Every error says in its message what happened, and to what; `remedy` says what to do about it.

    AgentError
    ├── MayPass                the same request may succeed later: waited out, within limits
    │   ├── Network        20  resets, hangs, names that do not resolve, short bodies
    │   ├── Throttled      21  429, 503: the account asks for patience
    │   ├── StorageClosed  22  403 AuthorizationFailure: the account admits nobody from here
    │   ├── RoleMissing    23  403 AuthorizationPermissionMismatch: a grant has not arrived yet
    │   └── IdentityBusy   25  whoever gives tokens does not answer, or asks for patience
    └── WillNotPass            asking again changes nothing
        ├── BadManifest    10  the manifest or the environment cannot be obeyed
        ├── DiskFull       11  the database does not fit
        ├── IdentityUnavailable 12  no token to be had
        ├── AccessDenied   13  the account refuses this identity
        ├── NotFound       14  a blob of the manifest is not there, or cannot be read
        ├── Changed        15  a blob is no longer the one that the manifest names
        ├── Damaged        16  bytes on the node are not the manifest's
        ├── DeadlinePassed 17  copying took longer than allowed
        ├── Busy           18  another agent works on this database on this node
        ├── Interrupted    19  told to stop (SIGTERM, SIGINT)
        ├── Untrusted      24  the account shows a certificate that nobody here vouches for
        └── Internal        1  a fault of the agent's own

Exit code 0 means ready, 2 a wrong command line.
"""

from __future__ import annotations

from typing import ClassVar

# A foreign text (a server's error body) is quoted no longer than this.
QUOTED_CHARACTERS = 256


class AgentError(Exception):
    """A look ended, or waits, for a reason that can be named."""

    kind: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1
    remedy: str = "report this with the container's log"

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        if remedy is not None:
            self.remedy = remedy


class MayPass(AgentError):  # noqa: N818 - reads as a sentence in the tree above
    """Worth another try; `retry_after_seconds` is what the server asked for, if it did."""

    retry_after_seconds: float | None = None


class WillNotPass(AgentError):  # noqa: N818 - same
    """Not worth another try."""


class Network(MayPass):
    """The connection failed, or what came over it was not a complete answer."""

    kind = "network"
    exit_code = 20
    remedy = "check DNS, network policies and private endpoints between the node and the storage account"


class Throttled(MayPass):
    """The account asked for fewer requests."""

    kind = "throttled"
    exit_code = 21
    remedy = "set a ceiling in MB/s per node, or warm fewer nodes at a time"


class StorageClosed(MayPass):
    """The account's network rules do not admit this node."""

    kind = "storage_closed"
    exit_code = 22
    remedy = (
        "the account opens while a run is live; otherwise admit the cluster's subnet or a private endpoint"
    )


class RoleMissing(MayPass):
    """The identity has no role for data here, or not yet."""

    kind = "access_denied"
    exit_code = 23
    remedy = "grant the kubelet identity Storage Blob Data Reader on the container or the account"


class IdentityBusy(MayPass):
    """Whoever gives tokens cannot do so now."""

    kind = "identity_unavailable"
    exit_code = 25
    remedy = "check the node's metadata service, or the endpoint that gives its tokens"


class BadManifest(WillNotPass):
    """The manifest or the environment cannot be obeyed as it stands."""

    kind = "bad_manifest"
    exit_code = 10
    remedy = "start the warm-up again, so that the database is described anew"


class DiskFull(WillNotPass):
    """The database does not fit beside what the disk holds."""

    kind = "disk_full"
    exit_code = 11
    remedy = "release another database from this node, or use a pool with a larger disk"


class IdentityUnavailable(WillNotPass):
    """No token for storage could be had."""

    kind = "identity_unavailable"
    exit_code = 12
    remedy = "set AZURE_CLIENT_ID to the client id of the kubelet identity and check that it is on this node"


class AccessDenied(WillNotPass):
    """The account refuses this identity for good."""

    kind = "access_denied"
    exit_code = 13
    remedy = "check which identity the node uses and what the account allows it"


class NotFound(WillNotPass):
    """A blob that the manifest names cannot be read."""

    kind = "not_found"
    exit_code = 14
    remedy = "stage the database again, then start the warm-up again"


class Changed(WillNotPass):
    """A blob is not the one that the manifest names any more."""

    kind = "changed"
    exit_code = 15
    remedy = "start the warm-up again when the update of the database is complete"


class Damaged(WillNotPass):
    """Bytes on the node are not those of the manifest."""

    kind = "damaged"
    exit_code = 16
    remedy = "warm the database again: exactly the damaged files are fetched"


class DeadlinePassed(WillNotPass):
    """Copying took longer than it was allowed to."""

    kind = "deadline"
    exit_code = 17
    remedy = "start the warm-up again: it continues where it stopped; or allow it more time"


class Busy(WillNotPass):
    """Another agent holds this database on this node."""

    kind = "busy"
    exit_code = 18
    remedy = "wait until the other one is done"


class Interrupted(WillNotPass):
    """Somebody asked the agent to stop."""

    kind = "interrupted"
    exit_code = 19
    remedy = "start the warm-up again: it continues where it stopped"


class Untrusted(WillNotPass):
    """The account's certificate is signed by nobody that is known here."""

    kind = "network"
    exit_code = 24
    remedy = "name the certificate authority in SSL_CERT_FILE, and check the node's clock"


class Internal(WillNotPass):
    """The agent itself failed."""


def quoted(text: str) -> str:
    r"""A foreign text, on one line and short.

    >>> quoted("a\n  b" + "c" * 999)[-4:]
    'ccc…'
    """
    line = " ".join(text.split())
    return line if len(line) <= QUOTED_CHARACTERS else line[: QUOTED_CHARACTERS - 1] + "…"
