"""What a healthy world answers to a story, and how a test has it answer otherwise."""

from collections.abc import Iterator
from typing import Any

from testkit import builders as a

from shared.domain.leases import NetworkState
from shared.domain.model import Mode, RoleGrant
from shared.domain.progress import Observation
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import Access, Probe

CLOSED = NetworkState(public_network_access="Disabled", default_action="Deny", rules="{}")
ALL_READY = a.seen(a.state("node0"), a.state("node1"), a.state("node2"))
ALL_BUSY = a.seen(a.copying("node0"), a.copying("node1"), a.copying("node2"))
REFUSAL = Refusal(
    reason=Reason.DATABASE_NOT_FOUND, message="database 'x' is not staged", remedy="download it"
)
LACKING = RoleGrant(role="Storage Blob Data Reader", scope="blastdata", outcome="lacking")
RELEASE = a.run(mode=Mode.RELEASE, account_name="")
MAX_ROWS = 1_000  # Python replays them all at every step


def answers(*looks: Observation, **changes: Any) -> dict[str, Any]:
    """What a healthy world answers; the last look repeats."""
    return {
        "read_cluster": a.facts(),
        "inspect_access": Access(account=a.ACCOUNT, before=CLOSED),
        "open_access": Access(account=a.ACCOUNT, before=CLOSED),
        "probe_access": Probe(outcome="reachable"),
        "describe_database": a.STAGED,
        "find_missing": None,
        "look_for_roles": (LACKING,),
        "grant_roles": (),
        "apply_daemonset": None,
        "observe_nodes": in_turn(looks or (ALL_READY,)),
        "keep_warm_nodes": 2,
        "retire_daemonsets": 1,
        "stop_verifying": 1,
        "close_access": (),
        "release_claims": True,
        "record_ending": True,
    } | changes


def in_turn(values: tuple[Any, ...]) -> Any:
    turns: Iterator[Any] = iter(values)
    return lambda _given: next(turns, values[-1])
