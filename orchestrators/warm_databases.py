"""The story of a warm-up."""

from typing import assert_never

import azure.durable_functions as df

from orchestrators.steps import EndedError, Steps, Verb
from shared.domain.judging import Ending, KeepWaiting, Outcome, judge
from shared.domain.model import StagedDatabase
from shared.domain.phases import Step
from shared.domain.planning import Grounds, judge_cluster, plan_warmup
from shared.domain.status import opening_note


def warm_databases(context: df.DurableOrchestrationContext) -> Verb[dict[str, object] | None]:
    """Warm databases onto every targeted node of a cluster, and say so only when it is true.

    Ends `succeeded` when every targeted node verified every byte under this run's id (in a release: removed
    all that it held), `failed` with the cause otherwise, `cancelled` when asked, `planned` after a dry run;
    however it ends, the storage account is as it was before.
    """
    steps = Steps(context)
    try:
        if steps.run.watching is None:
            yield from (set_out(steps) if steps.request.reads_blobs else set_out_to_release(steps))
        steps.show()  # a new history begins without a status
        ending = yield from watch(steps)
    except EndedError as ended:
        ending = ended.ending
    if ending is None:
        steps.continue_as_new()
        return None
    return (yield from wind_up(steps, ending))


def set_out(steps: Steps) -> Verb[None]:
    """Judge, open, plan, grant, roll out; nothing is written before it was judged."""
    steps.begin(Step.ENABLING_STORAGE)
    facts = yield from steps.read_cluster()
    kubelet = steps.accept(judge_cluster(steps.request.cluster, facts))
    access = yield from steps.open_access()
    readable = yield from steps.await_data_plane(access)
    steps.end(Step.ENABLING_STORAGE, opening_note(steps.request, access))

    steps.begin(Step.CONFIGURING)
    databases = (yield from steps.describe(access.account)) if readable else ()
    grounds = Grounds(
        request=steps.request,
        cluster=facts,
        account=access.account,
        databases=databases,
        now=steps.now,
        terms=access.terms,
    )
    plan = steps.accept(plan_warmup(grounds, kubelet))
    steps.end(Step.CONFIGURING)
    if steps.request.dry_run:
        missing = yield from steps.find_missing(plan, facts)
        yield from steps.look_for_roles(plan, access.account)
        steps.keep(plan)
        closed = (access.account.name,) if access.would_open else ()
        steps.finish(Ending(outcome=Outcome.PLANNED, would_open=closed, missing=missing))

    steps.begin(Step.ROLES)
    yield from steps.grant_roles(plan, access.account)
    steps.end(Step.ROLES)

    steps.begin(Step.WARMING_UP)
    yield from steps.apply(plan)
    steps.keep(plan)


def set_out_to_release(steps: Steps) -> Verb[None]:
    """Judge, plan, roll out: the database may no longer be staged, and its account may be gone."""
    steps.begin(Step.ENABLING_STORAGE)
    facts = yield from steps.read_cluster()
    kubelet = steps.accept(judge_cluster(steps.request.cluster, facts))
    steps.end(Step.ENABLING_STORAGE, "a release reads no account")

    steps.begin(Step.CONFIGURING)
    names = tuple(map(StagedDatabase.by_name, steps.request.databases))
    grounds = Grounds(request=steps.request, cluster=facts, account=None, databases=names, now=steps.now)
    plan = steps.accept(plan_warmup(grounds, kubelet))
    steps.end(Step.CONFIGURING)
    if steps.request.dry_run:
        steps.keep(plan)
        steps.finish(Ending(outcome=Outcome.PLANNED))

    steps.pass_over(Step.ROLES, "a release needs no roles")
    steps.begin(Step.WARMING_UP)
    yield from steps.apply(plan)
    steps.keep(plan)


def watch(steps: Steps) -> Verb[Ending | None]:
    """Look, judge, wait; None when this history is full and a new one shall go on."""
    while True:
        verdict = judge(steps.watch, (yield from steps.look()))
        match verdict:
            case Ending():
                return verdict
            case KeepWaiting(pause=pause):
                yield from steps.sleep(pause)
            case _:
                assert_never(verdict)
        if steps.history_is_full:
            return None


def wind_up(steps: Steps, ending: Ending) -> Verb[dict[str, object]]:
    """Leave nothing behind: no open account, no pod that crash-loops, no claim.

    The account first: a cluster that does not answer must not keep it open, and agents at a closed one wait.
    """
    steps.end(Step.POLLING)
    steps.end(Step.WARMING_UP)
    steps.begin(Step.DISABLE_STORAGE)
    yield from steps.close_access()
    ending = yield from steps.rest(ending)
    yield from steps.release_claims()
    steps.end(Step.DISABLE_STORAGE, steps.left_over)
    return (yield from steps.report(ending))
