"""The nouns of a warm-up, as everyone here speaks of them.

Value objects only: frozen, keyword-only, units in names. They are made at the edge, by
`requests.parse_request` or an adapter, and trusted from there on.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """An AKS cluster, by its ARM coordinates."""

    subscription_id: str
    resource_group: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A storage account as ARM describes it."""

    resource_id: str
    name: str
    blob_endpoint: str  # ends in a slash; may carry a path and a port


class AccessMode(StrEnum):
    """How nodes come to reach a storage account that is closed."""

    NONE = "none"  # they already can: private endpoint, or an account that is open
    WINDOW = "window"  # the account's public switch, opened for as long as a run holds it
    VNET = "vnet"  # a rule for the nodes' subnet, for as long as a run holds the account


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTerms:
    """How the operator has accounts opened to the nodes."""

    mode: AccessMode = AccessMode.NONE
    subnet_id: str | None = None  # the one that mode vnet admits


AS_FOUND = AccessTerms()  # nothing is opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A BLAST database by name, and the folder of the container that holds it.

    >>> Database(name="nt_euk", folder="nt").path
    'nt/nt_euk'
    """

    name: str
    folder: str

    @property
    def path(self) -> str:
        """Where its files begin, within the container."""
        return f"{self.folder}/{self.name}"


class Mode(StrEnum):
    """What each node is asked to do with a database."""

    WARM = "warm"  # fetch what is missing, verify, publish
    VERIFY = "verify"  # hash every byte again, fetch nothing
    RELEASE = "release"  # remove exactly its files


class OnFailure(StrEnum):
    """What becomes of the pods when a run fails or is cancelled."""

    REMOVE = "remove"
    KEEP = "keep"  # those of nodes that are warm stay Ready; the others go


class Engine(StrEnum):
    """What copies the bytes on a node."""

    RANGED = "ranged"  # our own parallel ranged reads
    AZCOPY = "azcopy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The container registry an image comes from; its group is known only when the caller says so."""

    name: str
    resource_group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupRequest:
    """What somebody asked for, after parsing: nothing in it is hostile any more, nothing is secret."""

    cluster: Cluster
    account_name: str  # empty in a release, which reads no blobs
    account_resource_group: str | None
    databases: tuple[Database, ...]  # at least one, sorted, no duplicates
    image: str
    registry: Registry | None
    mode: Mode
    dry_run: bool
    allow_partial: bool
    max_mbps_per_node: int | None
    deadline_minutes: int | None  # the operator's setting; None: sized from the bytes
    requested_by: str  # an object id, never a name or a token
    on_failure: OnFailure = OnFailure.REMOVE

    @property
    def reads_blobs(self) -> bool:
        """Whether it needs an account; what a release removes is known to the nodes alone."""
        return bool(self.account_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node as the API server describes it."""

    name: str
    uid: str
    pool: str
    schedulable: bool
    ready: bool
    disk_bytes: int  # capacity of the disk that pods' ephemeral storage and hostPath share; 0: not told


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSelection:
    """Which nodes are targeted, in the words a DaemonSet can repeat."""

    labels: tuple[tuple[str, str], ...]
    excluded_pools: tuple[str, ...]
    tolerated_taints: tuple[str, ...]  # `key=value:Effect`


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletIdentity:
    """Who the nodes are to Azure."""

    object_id: str
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """What a warm-up must know of a cluster before it touches anything."""

    power_state: str
    kubelet: KubeletIdentity | None
    selection: NodeSelection
    nodes: tuple[Node, ...]  # the selected ones, by name
    barring_taints: tuple[str, ...] = ()  # what keeps pods out of every node that was wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedDatabase:
    """A database as staged in the container: complete, of one generation, and this big."""

    database: Database
    molecule: str  # nucl | prot
    source_version: str | None
    generation: str  # digest over names, sizes, ETags and hashes
    files: int
    bytes: int
    volumes: int

    @classmethod
    def by_name(cls, database: Database) -> "StagedDatabase":
        """A database of which no container was asked: nothing is known but its name."""
        return cls(
            database=database, molecule="", source_version=None, generation="", files=0, bytes=0, volumes=0
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupPlan:
    """What will be done to which nodes, decided before anything is written."""

    cluster: Cluster
    account: Account | None  # None in a release
    kubelet: KubeletIdentity
    registry: Registry | None
    databases: tuple[StagedDatabase, ...]
    selection: NodeSelection
    node_count: int
    image: str
    mode: Mode
    max_mbps_per_node: int | None
    deadline: datetime  # by the rate that is planned for
    terms: AccessTerms = AS_FOUND
    latest_deadline: datetime | None = None  # how far a slower, measured rate may move it; None: not at all

    @property
    def bytes_per_node(self) -> int:
        """What one node must hold in the end, in bytes."""
        return sum(staged.bytes for staged in self.databases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What planned nodes lack of planned databases; a node that does not show a database lacks all of it."""

    nodes: int  # that lack something
    bytes: int  # over all nodes
    most_on_one_node: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleGrant:
    """What came of one role: granted, there already, refused with its remedy, or left to somebody else."""

    role: str
    scope: str
    outcome: str  # granted | present | refused | left_to_owner; of one that was only looked for: lacking
    remedy: str = ""
