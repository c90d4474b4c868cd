"""The verbs a story may use, typed; the only file that says `call_activity`.

Each verb is a sub-generator, used with `yield from`. A verb whose activity refuses, or fails for good,
ends the story by raising `EndedError`; the story tells that ending in one place.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar

import azure.durable_functions as df

from shared.domain import leases
from shared.domain.deadlines import deadline_after
from shared.domain.judging import Ending, Watch, failed, keeps_warm_nodes, refused
from shared.domain.model import (
    Account,
    ClusterFacts,
    Missing,
    Mode,
    RoleGrant,
    StagedDatabase,
    WarmupPlan,
    WarmupRequest,
)
from shared.domain.phases import Step
from shared.domain.planning import refuse_unreadable
from shared.domain.progress import Blind, Observation
from shared.domain.refusals import Refusal
from shared.domain.runs import (
    Access,
    AccountQuery,
    DatabaseQuery,
    Holdings,
    LookOrder,
    MissingQuery,
    OpeningOrder,
    Probe,
    ProbeOrder,
    RoleQuery,
    RolloutOrder,
    Run,
    Watching,
    missing_in,
)
from shared.domain.status import custom_status, ended_run, output
from shared.wire import decode, encode

T = TypeVar("T")
Verb = Generator[Any, Any, T]
Json = dict[str, Any]

# One look is about eight rows of history, and Python replays all of them at every step.
LOOKS_PER_HISTORY = 60
# Below 1,000 with what winds the run up, were every try of that needed; setting out may write 700 at worst.
_ROWS_PER_HISTORY = 740
_ROWS_EACH = 4  # of an activity or a timer: asked for, answered, and the episode that hears of it
# Storage network changes were seen to take 90 s; a probe that fails for longer will not pass.
PROBES_LAST = timedelta(seconds=120)
PROBE_EVERY = timedelta(seconds=5)
_RETRY = df.RetryOptions(first_retry_interval_in_milliseconds=5_000, max_number_of_attempts=4)
# What winds a run up is tried for longer: an open account outweighs a late report.
_PERSISTENT_RETRY = df.RetryOptions(first_retry_interval_in_milliseconds=15_000, max_number_of_attempts=8)
# Between the tries of a fan-out; after a good probe, other front ends of storage may lag so long.
_PAUSES = (timedelta(seconds=5), timedelta(seconds=25))
_MAX_FAILURE_TEXT = 400
_RAISED = re.compile(r"^\w+(Error|Exception): ")  # what was raised, before what it says


class EndedError(Exception):
    """The story has another ending than success."""

    def __init__(self, ending: Ending) -> None:
        """Carry the ending to where the story tells it."""
        super().__init__(ending.error)
        self.ending = ending


class Steps:
    """What a story does, in its own words, and the run as far as it has come."""

    def __init__(self, context: df.DurableOrchestrationContext) -> None:
        """Read the run's input; the first generation also notes when it began."""
        self._context = context
        given: Run = decode(Run, context.get_input())
        self.run = given if given.started_at else replace(given, started_at=self.now)
        self._shown: Json | None = None
        self.left_over = ""  # what could not be wound up, in sentences
        self._rows = 0  # that this history holds at most
        self._joined = False  # whether the account's ledger may name this run
        self._pods_left = False  # whether there are pods that only the janitor can take away now

    @property
    def now(self) -> datetime:
        """The story's only clock."""
        moment: datetime = self._context.current_utc_datetime
        return moment

    @property
    def run_id(self) -> str:
        """The instance id, stamped into everything the run writes."""
        return str(self._context.instance_id)

    @property
    def request(self) -> WarmupRequest:
        """What was asked for."""
        return self.run.request

    def begin(self, step: Step) -> None:
        """A step begins; everybody may see it."""
        self.run = replace(self.run, journal=self.run.journal.begin(step, self.now))
        self.show()

    def end(self, step: Step, note: str = "") -> None:
        """A step is done."""
        self.run = replace(self.run, journal=self.run.journal.end(step, self.now, note))

    def show(self, ending: Ending | None = None) -> None:
        """Publish the status, if it says anything new."""
        status = custom_status(self.run, ending=ending)
        if status != self._shown:
            self._shown = status
            self._context.set_custom_status(status)

    def pass_over(self, step: Step, why: str) -> None:
        """A step has nothing to do."""
        self.run = replace(self.run, journal=self.run.journal.begin(step, self.now))
        self.end(step, why)

    def accept(self, answer: T | Refusal) -> T:
        """Go on with an answer; a refusal is the end."""
        if isinstance(answer, Refusal):
            self.finish(refused(answer))
        return answer

    def finish(self, ending: Ending) -> NoReturn:
        """End the story here."""
        raise EndedError(ending)

    def read_cluster(self) -> Verb[ClusterFacts]:
        """Power state, identity and targeted nodes."""
        answer: ClusterFacts | Refusal
        answer = yield from self._call("read_cluster", self.request.cluster, ClusterFacts | Refusal)
        return self.accept(answer)

    def open_access(self) -> Verb[Access]:
        """Join the account's ledger and open it if it is closed; a dry run only looks."""
        query = self._account_query()
        answer: Access | Refusal
        if self.request.dry_run:
            answer = yield from self._call("inspect_access", query, Access | Refusal)
        else:
            self._joined = True
            order = OpeningOrder(query=query, holdings=self._holdings())
            answer = yield from self._call("open_access", order, Access | Refusal)
        return self.accept(answer)

    def await_data_plane(self, access: Access) -> Verb[bool]:
        """Probe until blobs can be read from here, for as long as network changes take.

        False only in a dry run of a closed account: it opens nothing, and so cannot see what is staged.
        """
        give_up = self.now + PROBES_LAST
        probe = yield from self._probe(access.account)
        while not probe.reachable:
            if self.request.dry_run and access.would_open:
                return False
            if probe.is_final or self.now >= give_up or self.request.dry_run:
                self.accept(refuse_unreadable(access, probe))
            yield from self.sleep(PROBE_EVERY)
            probe = yield from self._probe(access.account)
        return True

    def describe(self, account: Account) -> Verb[tuple[StagedDatabase, ...]]:
        """What is staged of every database, side by side; one refusal refuses all."""
        queries = [DatabaseQuery(account=account, database=database) for database in self.request.databases]
        answers = yield from self._call_each("describe_database", queries, StagedDatabase | Refusal)
        return tuple(self.accept(answer) for answer in answers)

    def find_missing(self, plan: WarmupPlan, facts: ClusterFacts) -> Verb[Missing | None]:
        """What nodes lack, as far as they show it; only a warm-up brings it."""
        if self.request.mode is not Mode.WARM or not plan.databases:
            return None
        nodes = tuple(node.name for node in facts.nodes)
        query = MissingQuery(cluster=plan.cluster, nodes=nodes, databases=plan.databases, now=self.now)
        missing: Missing | None = yield from self._call("find_missing", query, Missing | None)
        return missing

    def grant_roles(self, plan: WarmupPlan, account: Account) -> Verb[None]:
        """Let the nodes read blobs and images; a role we may not grant is shown with its remedy."""
        query = _role_query(plan, account)
        grants: tuple[RoleGrant, ...] = yield from self._call("grant_roles", query, tuple[RoleGrant, ...])
        self.run = replace(self.run, grants=grants)

    def look_for_roles(self, plan: WarmupPlan, account: Account) -> Verb[None]:
        """What would be granted, touching nothing."""
        query = _role_query(plan, account)
        seen: tuple[RoleGrant, ...] = yield from self._call("look_for_roles", query, tuple[RoleGrant, ...])
        self.run = replace(self.run, grants=seen)

    def apply(self, plan: WarmupPlan) -> Verb[None]:
        """Put every database onto the nodes, side by side."""
        for answer in (yield from self._call_each("apply_daemonset", self._rollouts(plan), Refusal | None)):
            self.accept(answer)

    def keep(self, plan: WarmupPlan) -> None:
        """Remember what the watch needs, for this history and the next."""
        self.run = replace(self.run, watching=Watching(plan=plan, looks=0, last=None))

    def look(self) -> Verb[Observation | Blind]:
        """Look at every targeted node once, and show what was seen; byte counts never fall.

        A look that fails is no ending: the nodes go on, and how long nobody answered is for `judge`.
        """
        watching = self._watching
        self._rows += _ROWS_EACH
        try:
            answer = yield self._context.call_activity("observe_nodes", encode(self._look_order()))
        except Exception as failure:  # noqa: BLE001 - SDK 1.x raises nothing sharper
            since = watching.blind.since if watching.blind else self.now
            blind = Blind(since=since, reason=_cause_of(failure))
            self._note(replace(watching, looks=watching.looks + 1, blind=blind))
            return blind
        observed: Observation = decode(Observation, answer)
        seen = observed.not_behind(watching.last)
        # Polling begins with the first counts: a dashboard prints them as soon as it reads the phase.
        self.run = replace(self.run, journal=self.run.journal.begin(Step.POLLING, self.now))
        until = deadline_after(watching.plan, watching.deadline, watching.last, seen)
        self._note(replace(watching, looks=watching.looks + 1, last=seen, blind=None, stretched_to=until))
        return seen

    @property
    def watch(self) -> Watch:
        """What a verdict needs besides what was seen."""
        return Watch(
            deadline=self._watching.deadline,
            allow_partial=self.request.allow_partial,
            began=self.run.started_at or self.now,
            rolled_out=self._rolled_out,
            now=self.now,
        )

    @property
    def history_is_full(self) -> bool:
        """Whether it is time to begin a new one."""
        return self._rows >= _ROWS_PER_HISTORY or self._watching.looks % LOOKS_PER_HISTORY == 0

    def continue_as_new(self) -> None:
        """Begin a new history with what is known."""
        self._context.continue_as_new(encode(self.run))

    def sleep(self, pause: timedelta) -> Verb[None]:
        """Wait on a durable timer; it may fire early, so nothing is concluded from it."""
        self._rows += _ROWS_EACH
        yield self._context.create_timer(self.now + pause)

    def rest(self, ending: Ending) -> Verb[Ending]:
        """Leave the pods as they should be: warming nodes that join later, on warm nodes only, or none."""
        if not self.run.journal.began(Step.WARMING_UP):
            return ending
        if ending.is_whole and self.request.mode is Mode.WARM:
            return ending
        if ending.is_whole and self.request.mode is Mode.VERIFY:
            # Else a node that joins later would verify what it does not hold, and fail again for ever.
            changed = yield from self._persist("stop_verifying", self._holdings())
            self._pods_left = changed is None
            return ending
        # Where some nodes failed, their pods would fail again for ever.
        if self.run.watching and keeps_warm_nodes(self.request, ending):
            kept = yield from self._persist("keep_warm_nodes", self._look_order())
            self._pods_left = kept is None
            return replace(ending, nodes_kept=kept or 0)
        retired = yield from self._persist("retire_daemonsets", self._holdings())
        self._pods_left = retired is None
        return ending

    def close_access(self) -> Verb[None]:
        """Leave the account's ledger; the last one out restores what was before."""
        watched = self.request.reads_blobs and self.run.watching and not self.request.dry_run
        if self._joined or watched:
            lost = yield from self._persist("close_access", self._account_query())
            if lost:
                self.left_over += f"{leases.told_of(tuple(lost))}. "

    def release_claims(self) -> Verb[None]:
        """Give the databases up; with pods left behind, the claims stay to tell the janitor of them."""
        if not self._pods_left:
            yield from self._persist("release_claims", self._holdings())

    def report(self, ending: Ending) -> Verb[Json]:
        """Tell the logs how it ended, and return what the dashboard reads."""
        self.show(ending)
        began = self.run.started_at or self.now
        seconds = (self.now - began).total_seconds()
        yield from self._persist("record_ending", ended_run(self.run, self.run_id, ending, seconds))
        return output(self.run, ending)

    def _probe(self, account: Account) -> Verb[Probe]:
        order = ProbeOrder(account=account, holdings=self._holdings())
        answer: Probe | Refusal = yield from self._call("probe_access", order, Probe | Refusal)
        return self.accept(answer)

    def _look_order(self) -> LookOrder:
        watching = self._watching
        return LookOrder(
            cluster=watching.plan.cluster,
            databases=watching.plan.databases,
            run_id=self.run_id,
            applied_at=self._rolled_out,
            now=self.now,
            missing=missing_in(watching.last),
            terms=watching.plan.terms,
        )

    def _note(self, watching: Watching) -> None:
        self.run = replace(self.run, watching=watching)
        self.show()

    @property
    def _watching(self) -> Watching:
        assert self.run.watching is not None  # the story keeps its plan before it watches
        return self.run.watching

    @property
    def _rolled_out(self) -> datetime:
        return self.run.journal.record(Step.WARMING_UP).started_at or self.now

    def _rollouts(self, plan: WarmupPlan) -> list[RolloutOrder]:
        return [
            RolloutOrder(plan=plan, staged=staged, run_id=self.run_id, now=self.now)
            for staged in plan.databases
        ]

    def _holdings(self) -> Holdings:
        return Holdings(cluster=self.request.cluster, databases=self.request.databases, run_id=self.run_id)

    def _account_query(self) -> AccountQuery:
        return AccountQuery(
            subscription_id=self.request.cluster.subscription_id,
            name=self.request.account_name,
            resource_group=self.request.account_resource_group,
            run_id=self.run_id,
            cluster=self.request.cluster.name,
        )

    def _call(self, activity: str, value: object, kind: Any) -> Verb[Any]:
        self._rows += _ROWS_EACH * (2 * _RETRY.max_number_of_attempts - 1)  # timers lie between the tries
        try:
            answer = yield self._context.call_activity_with_retry(activity, _RETRY, encode(value))
        except Exception as failure:  # noqa: BLE001 - SDK 1.x raises nothing sharper
            self.finish(failed(_cause_of(failure)))
        return decode(kind, answer)

    def _call_each(self, activity: str, values: Sequence[object], kind: Any) -> Verb[list[Any]]:
        """Call one activity per value, all at once; where one fails, all again, as each may be repeated.

        Never `call_activity_with_retry` here: the first failure ends `task_all` in Python while the host
        still counts out the others' retries, and the two would number what comes next differently.
        """
        for pause in (*_PAUSES, None):
            self._rows += _ROWS_EACH * len(values)
            tasks = [self._context.call_activity(activity, encode(value)) for value in values]
            try:
                answers = yield self._context.task_all(tasks)
            except Exception as failure:  # noqa: BLE001 - SDK 1.x raises nothing sharper
                if pause is None:
                    self.finish(failed(_cause_of(failure)))
                yield from self.sleep(pause)
            else:
                return [decode(kind, answer) for answer in answers]
        raise AssertionError("the last round returns or ends the story")

    def _persist(self, activity: str, value: object) -> Verb[Any]:
        """Wind something up, or say that it is left over and give None: the janitor finishes that."""
        try:
            return (yield self._context.call_activity_with_retry(activity, _PERSISTENT_RETRY, encode(value)))
        except Exception as failure:  # noqa: BLE001 - SDK 1.x raises nothing sharper
            self.left_over += f"{activity} is left to the janitor: {_cause_of(failure)}. "
            return None


def _role_query(plan: WarmupPlan, account: Account) -> RoleQuery:
    return RoleQuery(
        principal_id=plan.kubelet.object_id, account=account, registry=plan.registry, cluster=plan.cluster
    )


def _cause_of(failure: Exception) -> str:
    """The first line of what an activity raised, without Durable's prefix and .NET's appendix."""
    first = str(failure).split("\n", 1)[0].strip()
    prefix, separator, text = first.partition("' failed: ")
    told = text if separator and prefix.startswith("Activity function") else first
    return _RAISED.sub("", told)[:_MAX_FAILURE_TEXT]
