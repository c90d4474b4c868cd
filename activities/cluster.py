"""Hands on the cluster: read it, roll out, look, take away."""

import logging
from dataclasses import replace

from activities.claims import hold_on
from shared.domain import progress
from shared.domain.causes import group, shut_out
from shared.domain.claims import Holder
from shared.domain.daemonset import PodRules, Rollout
from shared.domain.events import Change, Event, line_of
from shared.domain.model import Cluster, ClusterFacts, Missing, StagedDatabase
from shared.domain.observing import NodeStanding
from shared.domain.phases import Phase
from shared.domain.progress import DatabaseProgress, Observation
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import (
    ClusterLook,
    DatabaseLook,
    Holdings,
    LookOrder,
    MissingQuery,
    Remains,
    RolloutOrder,
)
from shared.domain.staging import Manifest, as_remembered, judge_staging
from shared.domain.warmth import missing_in
from shared.ports import Catalog, Claims, Clusters, Monitor

_logger = logging.getLogger("warmup")


def read_cluster(cluster: Cluster, *, clusters: Clusters) -> ClusterFacts | Refusal:
    """Power state, kubelet identity and targeted nodes; reading is safe to repeat."""
    return clusters.facts(cluster)


def find_missing(query: MissingQuery, *, monitor: Monitor) -> Missing | None:
    """What nodes lack; None where the cluster does not show it. Reading is safe to repeat."""
    sight = monitor.sight(query.cluster)
    if isinstance(sight, Refusal) or sight.lacks("daemon sets") or sight.lacks("pods"):
        return None
    return missing_in(query, sight)


def apply_daemonset(
    order: RolloutOrder, *, clusters: Clusters, catalog: Catalog, claims: Claims, rules: PodRules
) -> Refusal | None:
    """Write one database's objects; applied server-side, so repeating it changes nothing.

    An activity may outlive its run by minutes: one whose run no longer holds the database writes nothing,
    or takes away what it wrote while the run's pods were put away. Nor is anything written for a run that
    was asked to end; one that is asked meanwhile hears of it at its first look.
    """
    may_not = hold_on(_held_for(order), claims).refusal
    if may_not is not None:
        return may_not
    manifest = _manifest(order, catalog)
    if isinstance(manifest, Refusal):
        return manifest
    rollout = Rollout(plan=order.plan, staged=order.staged, run_id=order.run_id, now=order.now, rules=rules)
    refusal = clusters.apply(rollout, manifest)
    if refusal is not None:
        return refusal
    lost = hold_on(_held_for(order), claims).lost
    if lost is not None:
        clusters.remove(order.plan.cluster, order.staged.database, order.run_id)
        return lost
    _logger.info(line_of(_rolled_out(order)))
    return None


def observe_nodes(order: LookOrder, *, clusters: Clusters, claims: Claims) -> Observation:
    """Look at every node once and sum it up; reading is safe to repeat.

    A run that was cancelled, or has lost a database, is told so without a look: it must end also while the
    cluster does not answer, and what the nodes show of another run's database is none of its business.
    """
    databases = tuple(staged.database for staged in order.databases)
    holdings = Holdings(cluster=order.cluster, databases=databases, run_id=order.run_id)
    stopped = hold_on(holdings, claims).refusal
    look = clusters.look(order) if stopped is None else ClusterLook(databases=(), logs=())
    return replace(_summed_up(order, look), stopped=stopped)


def stop_verifying(holdings: Holdings, *, clusters: Clusters, claims: Claims) -> int:
    """Let the pods of this run warm nodes that join later; repeating it changes nothing."""
    claims.end(holdings.cluster, holdings.databases, Holder(holdings.run_id))
    return sum(
        clusters.stop_verifying(holdings.cluster, database, holdings.run_id)
        for database in holdings.databases
    )


def retire_daemonsets(holdings: Holdings, *, clusters: Clusters, claims: Claims) -> int:
    """Delete the DaemonSets that carry this run's id; what is gone already is no error."""
    claims.end(holdings.cluster, holdings.databases, Holder(holdings.run_id))
    return sum(
        clusters.remove(holdings.cluster, database, holdings.run_id) for database in holdings.databases
    )


def keep_warm_nodes(order: LookOrder, *, clusters: Clusters, claims: Claims) -> int:
    """Leave pods on warm nodes only, or none at all; how many stay. Looking again finds the same nodes."""
    databases = tuple(staged.database for staged in order.databases)
    claims.end(order.cluster, databases, Holder(order.run_id))
    return sum(_keep(order, seen, clusters) for seen in clusters.look(order).databases)


def _keep(order: LookOrder, seen: DatabaseLook, clusters: Clusters) -> int:
    warm = tuple(
        sorted(state.node for state in progress.believed(seen.states) if state.standing is NodeStanding.READY)
    )
    if not warm:
        clusters.remove(order.cluster, seen.database, order.run_id)
        return 0
    remains = Remains(
        cluster=order.cluster,
        database=seen.database,
        run_id=order.run_id,
        warm_nodes=warm,
        left_out=len(seen.states) - len(warm),
    )
    return len(warm) if clusters.narrow(remains) else 0


def _manifest(order: RolloutOrder, catalog: Catalog) -> Manifest | Refusal:
    """Made anew, since it is too large for a history; it must still be the planned one."""
    staged, account = order.staged, order.plan.account
    if account is None:
        return as_remembered(staged.database)
    manifest = judge_staging(catalog.listing(account, staged.database))
    if isinstance(manifest, Manifest) and manifest.generation != staged.generation:
        return _replaced(staged)
    return manifest


def _held_for(order: RolloutOrder) -> Holdings:
    return Holdings(cluster=order.plan.cluster, databases=(order.staged.database,), run_id=order.run_id)


def _rolled_out(order: RolloutOrder) -> Event:
    return Event(
        event=Change.ROLLED_OUT,
        instance_id=order.run_id,
        cluster=order.plan.cluster.name,
        database=order.staged.database.name,
        account=order.plan.account.name if order.plan.account else "",
        phase=Phase.WARMING_UP.value,
        mode=order.plan.mode.value,
        bytes=order.staged.bytes,
    )


def _summed_up(order: LookOrder, look: ClusterLook) -> Observation:
    sizes = {staged.database: staged.bytes for staged in order.databases}
    causes = [each for seen in look.databases for each in progress.causes_of(seen.database.name, seen.states)]
    glances = [progress.glance(seen.database, seen.states, order.now) for seen in look.databases]
    return Observation(
        at=order.now,
        databases=tuple(_progress(seen, sizes[seen.database]) for seen in look.databases),
        causes=tuple(shut_out(cause, order.terms) for cause in group(causes)),
        logs=look.logs,
        glances=tuple(glance for row in glances for glance in row)[: progress.MAX_GLANCES],
    )


def _progress(seen: DatabaseLook, bytes_per_node: int) -> DatabaseProgress:
    summed = progress.sum_up(seen.database, seen.states, settled=seen.settled, bytes_per_node=bytes_per_node)
    return replace(summed, missing=seen.missing)


def _replaced(staged: StagedDatabase) -> Refusal:
    return Refusal(
        reason=Reason.DATABASE_UPDATING,
        message=f"database {staged.database.name!r} was replaced in the container while the run was planned",
        remedy="start again",
    )
