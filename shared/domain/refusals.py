"""What a retry cannot cure: a closed set of reasons, each a sentence and a remedy.

A refusal is a value, handed up to whoever asked. What may pass is raised instead, by the adapters,
and retried. The reasons are documented in `docs/status.md`; a test keeps the two lists equal.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a warm-up, or a node, cannot go on."""

    INVALID_REQUEST = "invalid_request"
    NOT_ALLOWED = "not_allowed"
    CLUSTER_NOT_FOUND = "cluster_not_found"
    CLUSTER_STOPPED = "cluster_stopped"
    CLUSTER_UNREACHABLE = "cluster_unreachable"
    CLUSTER_FORBIDDEN = "cluster_forbidden"
    NO_KUBELET_IDENTITY = "no_kubelet_identity"
    NO_NODES = "no_nodes"
    DISK_TOO_SMALL = "disk_too_small"
    ACCOUNT_NOT_FOUND = "account_not_found"
    ACCOUNT_FORBIDDEN = "account_forbidden"
    STORAGE_BLOCKED = "storage_blocked"
    DATABASE_NOT_FOUND = "database_not_found"
    DATABASE_INCOMPLETE = "database_incomplete"
    DATABASE_ARCHIVED = "database_archived"
    DATABASE_UPDATING = "database_updating"
    DATABASE_INCONSISTENT = "database_inconsistent"
    DATABASE_TOO_MANY_FILES = "database_too_many_files"
    CLAIM_LOST = "claim_lost"
    CANCELLED = "cancelled"
    POLICY_FORBIDS = "policy_forbids"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why it will not be done: what happened, to what, and what to do about it."""

    reason: Reason
    message: str
    remedy: str

    @property
    def sentence(self) -> str:
        """Both halves, cause first: a dashboard shows the first hundred characters.

        >>> Refusal(reason=Reason.NO_NODES, message="c1 has no node", remedy="scale it up").sentence
        'c1 has no node; scale it up'
        """
        return f"{self.message}; {self.remedy}"
