"""One look at all pods of a run, summed up: counts that add up, bytes, rate, time left, causes.

This is all that a run keeps of a look, whatever the number of nodes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.causes import Cause, Kind, cause_of, group
from shared.domain.model import Database
from shared.domain.observing import MissingPods, NodeStanding, NodeState
from shared.domain.refusals import Refusal

MAX_GLANCES = 12  # what a dashboard card can show; the nodes' own page shows all
MAX_DIGESTS = 3  # two tell that they differ; the third tells it is no accident


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGlance:
    """One node in a line, for those who watch."""

    node: str
    database: str
    standing: NodeStanding
    phase: str
    bytes_done: int
    bytes_total: int
    bytes_fetched: int
    files_fetched: int
    bytes_per_second: int
    eta_seconds: int | None
    seconds: float
    age_seconds: int | None = None  # of these figures, while it runs; None: not told
    heard: bool = True  # False: it is at work, and whoever looked has not read its log yet


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLog:
    """The last lines a node's agent wrote, sanitised; of one that failed, before it did."""

    node: str
    state: str
    lines: tuple[str, ...]
    retrying: tuple[str, ...] = ()  # what the attempt after the failure says by now


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseProgress:
    """How far one database is on the nodes it is meant for."""

    database: Database
    settled: bool  # the controller has seen the change, so that the counts mean something
    nodes_ready: int
    nodes_failed: int
    nodes_active: int
    bytes_done: int
    bytes_total: int
    bytes_fetched: int
    bytes_per_second: int
    eta_seconds: int | None
    digests: tuple[str, ...]
    nodes_unheard: int = 0  # at work, and what they said last is not known to whoever looked
    missing: MissingPods | None = None

    @property
    def nodes_total(self) -> int:
        """Targeted nodes: every one is ready, failed or active."""
        return self.nodes_ready + self.nodes_failed + self.nodes_active


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one look at the cluster found."""

    at: datetime
    databases: tuple[DatabaseProgress, ...]
    causes: tuple[Cause, ...]
    logs: tuple[NodeLog, ...]
    glances: tuple[NodeGlance, ...]
    stopped: Refusal | None = None  # why the run may not go on: cancelled, or a database is not its own now

    @property
    def settled(self) -> bool:
        """Whether every DaemonSet's counts are current."""
        return all(progress.settled for progress in self.databases)

    def total(self, figure: Callable[[DatabaseProgress], int]) -> int:
        """A figure over all databases."""
        return sum(figure(progress) for progress in self.databases)

    def not_behind(self, earlier: "Observation | None") -> "Observation":
        """The same look, with no byte count lower than seen before: a silent log is no lost byte.

        Nodes that were not heard this time show what they said last.
        """
        if earlier is None:
            return self
        if not self.databases:  # the run is to end: nothing was looked at
            return replace(earlier, at=self.at, stopped=self.stopped)
        seen = {progress.database: progress for progress in earlier.databases}
        kept = tuple(_not_behind(progress, seen.get(progress.database)) for progress in self.databases)
        said = {(line.node, line.database): line for line in earlier.glances}
        passed = round((self.at - earlier.at).total_seconds())
        lines = tuple(_last_said(line, said.get((line.node, line.database)), passed) for line in self.glances)
        return replace(self, databases=kept, glances=lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """A look that saw nothing, since nobody answered; nothing is concluded from it but time."""

    since: datetime  # when the first of such looks in a row was taken
    reason: str


def sum_up(
    database: Database, states: tuple[NodeState, ...], *, settled: bool, bytes_per_node: int
) -> DatabaseProgress:
    """Add up one database's nodes."""
    reports = [state.report for state in states if state.report is not None]
    etas = [report.eta_seconds for report in reports if report.eta_seconds is not None]
    digests, states = _holders(states), believed(states)
    return DatabaseProgress(
        database=database,
        settled=settled,
        nodes_ready=sum(_is(state, NodeStanding.READY) for state in states),
        nodes_failed=sum(_is(state, NodeStanding.FAILED) for state in states),
        nodes_active=sum(_is(state, NodeStanding.ACTIVE) for state in states),
        bytes_done=sum(min(report.bytes_done, bytes_per_node) for report in reports),
        bytes_total=bytes_per_node * len(states),
        bytes_fetched=sum(report.bytes_fetched for report in reports),
        bytes_per_second=sum(_rate(state) for state in states),
        eta_seconds=max(etas, default=None),
        digests=tuple(sorted(digests)[:MAX_DIGESTS]),
        nodes_unheard=sum(state.running and state.report is None for state in states),
    )


def believed(states: Sequence[NodeState]) -> tuple[NodeState, ...]:
    """The same, but of nodes that hold different bytes of one database nobody knows which are right."""
    if len(_holders(states)) <= 1:
        return tuple(states)
    failed = NodeStanding.FAILED
    return tuple(replace(each, standing=failed) if _is(each, NodeStanding.READY) else each for each in states)


def glance(database: Database, states: Sequence[NodeState], now: datetime) -> tuple[NodeGlance, ...]:
    """The nodes most worth a look: failed first, then active, then ready."""
    order = {NodeStanding.FAILED: 0, NodeStanding.ACTIVE: 1, NodeStanding.READY: 2}
    ranked = sorted(believed(states), key=lambda state: (order[state.standing], state.node))
    shown = sorted(ranked[:MAX_GLANCES], key=lambda state: state.node)
    return tuple(replace(_glance(database, state), age_seconds=_age(state, now)) for state in shown)


def causes_of(database: str, states: Sequence[NodeState]) -> tuple[Cause, ...]:
    """Why this database is not warm, grouped: what keeps nodes from it, and that ready ones do not agree."""
    told = [state.cause for state in states if state.cause is not None]
    return group([*told, *_differing(database, states)])


def _differing(database: str, states: Iterable[NodeState]) -> list[Cause]:
    """Of nodes that hold different bytes, those of whose bytes there are fewest."""
    holders = _holders(states)
    if len(holders) <= 1:
        return []
    fewest = min(holders.values(), key=len)
    message = f"nodes hold different bytes of {database}, the rarest"
    return [cause_of(Kind.DIGESTS_DIFFER, message, node) for node in fewest]


def _holders(states: Iterable[NodeState]) -> dict[str, list[str]]:
    """The ready nodes of each digest."""
    holders: dict[str, list[str]] = {}
    for state in states:
        if _is(state, NodeStanding.READY) and state.report and state.report.digest:
            holders.setdefault(state.report.digest, []).append(state.node)
    return holders


def _not_behind(now: DatabaseProgress, before: DatabaseProgress | None) -> DatabaseProgress:
    if before is None or before.nodes_total != now.nodes_total:
        return now  # nodes joined or left: another total, another count
    kept = replace(
        now,
        bytes_done=max(now.bytes_done, before.bytes_done),
        bytes_fetched=max(now.bytes_fetched, before.bytes_fetched),
    )
    if now.nodes_unheard <= before.nodes_unheard:
        return kept
    # Another instance of the app looked, which has not heard all nodes yet: their rate is as it was.
    return replace(
        kept,
        nodes_unheard=before.nodes_unheard,
        bytes_per_second=before.bytes_per_second,
        eta_seconds=before.eta_seconds,
    )


def _last_said(now: NodeGlance, before: NodeGlance | None, passed: int) -> NodeGlance:
    if now.heard or before is None or {now.standing, before.standing} != {NodeStanding.ACTIVE}:
        return now
    return replace(before, age_seconds=None if before.age_seconds is None else before.age_seconds + passed)


def _age(state: NodeState, now: datetime) -> int | None:
    """By the agent's own clock, which may be a little ahead of ours."""
    told = state.report.updated_at if state.report and state.running else None
    return None if told is None else max(0, round((now - told).total_seconds()))


def _glance(database: Database, state: NodeState) -> NodeGlance:
    report = state.report
    return NodeGlance(
        node=state.node,
        database=database.name,
        standing=state.standing,
        phase=report.phase if report else "starting",
        bytes_done=report.bytes_done if report else 0,
        bytes_total=report.bytes_total if report else 0,
        bytes_fetched=report.bytes_fetched if report else 0,
        files_fetched=report.files_fetched if report else 0,
        bytes_per_second=report.bytes_per_second if report else 0,
        eta_seconds=report.eta_seconds if report else None,
        seconds=report.seconds if report else 0.0,
        heard=report is not None or not state.running,
    )


def _rate(state: NodeState) -> int:
    return state.report.bytes_per_second if state.report and state.running else 0


def _is(state: NodeState, standing: NodeStanding) -> bool:
    return state.standing is standing
