"""AKS clusters: what ARM and the API server say of them, and the objects a warm-up writes there.

Everything is written by server-side apply under one field manager, so that writing it again changes nothing
and no running pod is deleted for it.
"""

import logging
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from kubernetes.client.exceptions import ApiException

from shared.adapters.azure_clients import AzureClients
from shared.adapters.errors import SDK_ERRORS, Fault, RefusedError, UnansweredError, calling, fault_of
from shared.adapters.kubernetes_look import KubernetesLook
from shared.adapters.kubernetes_session import Ask, Json, KubernetesSessions, may_not_sign_in
from shared.domain import looking, naming
from shared.domain.daemonset import Rollout, config_map, daemon_set, is_narrowed, narrowing, warming
from shared.domain.foreign import mapping
from shared.domain.model import Cluster, ClusterFacts, Database, KubeletIdentity, NodeSelection
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import ClusterLook, LookOrder, Remains
from shared.domain.selecting import NodeRules, Selected, select_nodes
from shared.domain.staging import Manifest
from shared.ports import PassingError

FIELD_MANAGER = "elastic-blast-warmup"
_CONFIG_MAPS = f"/api/v1/namespaces/{naming.NAMESPACE}/configmaps"
_DAEMON_SETS = f"/apis/apps/v1/namespaces/{naming.NAMESPACE}/daemonsets"
_APPLY = {"Content-Type": "application/apply-patch+yaml"}
_MERGE = {"Content-Type": "application/merge-patch+json"}
_STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
_TRIES = 5  # a controller counts its pods between a read and a change now and then
# Who says so in a 403 that no role would cure.
_POLICY = re.compile(
    r"admission webhook|admissionpolic|podsecurity|hostpath|azurepolicy|denied the request", re.IGNORECASE
)
# And with any other status: a policy that names no reason refuses as 422, a webhook as it likes.
_DENIAL = re.compile(r"admission webhook \S+ denied the request|is forbidden: \w*AdmissionPolicy ")
_logger = logging.getLogger(__name__)
_NO_NODES = Selected(selection=NodeSelection(labels=(), excluded_pools=(), tolerated_taints=()), nodes=())


class KubernetesClusters:
    """The port `Clusters`."""

    def __init__(
        self, clients: AzureClients, sessions: KubernetesSessions, rules: NodeRules, agent: Mapping[str, str]
    ) -> None:
        """Keep which nodes count, and the agent's modules by file name."""
        self._clients = clients
        self._sessions = sessions
        self._rules = rules
        self._agent = agent
        self._look = KubernetesLook(sessions)

    def facts(self, cluster: Cluster) -> ClusterFacts | Refusal:
        """Ask ARM, and the API server only where ARM says that the cluster runs."""
        try:
            return self._facts(cluster)
        except RefusedError as refused:
            return refused.refusal

    def apply(self, rollout: Rollout, manifest: Manifest) -> Refusal | None:
        """ConfigMap first, since the pods need it; then the DaemonSet, which comes to own it."""
        try:
            self._apply(rollout, manifest)
        except RefusedError as refused:
            return refused.refusal
        return None

    def look(self, order: LookOrder) -> ClusterLook:
        """See `kubernetes_look`."""
        return self._look.look(order)

    def stop_verifying(self, cluster: Cluster, database: Database, run_id: str) -> bool:
        """Patch the mode; each node looks again, and a warm one is Ready again within seconds."""

        def patch(path: str, found: Json) -> bool:
            return self._patch(cluster, path, warming(), found)

        try:
            return self._change_own(cluster, database, run_id, patch)
        except RefusedError as refused:
            return _went_with_its_cluster(refused)

    def narrow(self, remains: Remains) -> bool:
        """Patch its affinity; pods that are Ready stay, the controller takes the others away."""

        def patch(path: str, found: Json) -> bool:
            if is_narrowed(found):
                return True  # what was left out then is written there
            body = narrowing(remains.warm_nodes, remains.left_out)
            return self._patch(remains.cluster, path, body, found)

        return self._change_own(remains.cluster, remains.database, remains.run_id, patch)

    def remove(self, cluster: Cluster, database: Database, run_id: str | None) -> bool:
        """Delete the DaemonSet in the background; its ConfigMap, which it owns, goes with it.

        One that nobody owns, since its DaemonSet was never written, is deleted too. With a cluster that is no
        more all of it went.
        """

        def delete(path: str, found: Json) -> bool:
            # Where somebody's deletion waits for the pods, a second one at a version is always refused.
            return looking.is_leaving(found) or self._delete(cluster, path, _exactly(found))

        try:
            removed = self._change_own(cluster, database, run_id, delete)
        except RefusedError as refused:
            return _went_with_its_cluster(refused)
        self._sweep_orphans(cluster, naming.daemonset_name(database))
        return removed

    def _change_own(
        self, cluster: Cluster, database: Database, run_id: str | None, change: Callable[[str, Json], bool]
    ) -> bool:
        """Change a DaemonSet of this run exactly as it was read, or read it again; False: there is none."""
        path = f"{_DAEMON_SETS}/{naming.daemonset_name(database)}"
        with calling(f"changing {path}", lambda fault: _may_not(cluster, "change", fault)):
            for _ in range(_TRIES):
                found = self._found(cluster, path)
                if found is None or (run_id is not None and looking.run_of(found) != run_id):
                    return False
                if change(path, found):
                    return True
        raise PassingError(f"{path} was changed by others {_TRIES} times in a row; try again")

    def _facts(self, cluster: Cluster) -> ClusterFacts:
        with calling(f"reading cluster {cluster.name!r}", lambda fault: may_not_sign_in(cluster, fault)):
            clusters = self._clients.clusters(cluster.subscription_id).managed_clusters
            found = clusters.get(cluster.resource_group, cluster.name)
        power = _power_state(found)
        selected = self._nodes(cluster, found) if power == "Running" else _NO_NODES
        return ClusterFacts(
            power_state=power,
            kubelet=_kubelet(found),
            selection=selected.selection,
            nodes=selected.nodes,
            barring_taints=selected.barring_taints,
        )

    def _nodes(self, cluster: Cluster, found: Any) -> Selected:
        """List and choose them; a server that does not answer may yet, and is told with its cure."""
        try:
            with calling(
                f"listing the nodes of {cluster.name!r}", lambda fault: _may_not(cluster, "list", fault)
            ):
                items = self._sessions.items(cluster, "/api/v1/nodes")
        except UnansweredError as silent:
            raise PassingError(_unreachable(cluster, found).sentence) from silent
        return select_nodes(items, self._rules)

    def _apply(self, rollout: Rollout, manifest: Manifest) -> None:
        cluster = rollout.plan.cluster
        files = config_map(rollout, manifest.to_json(), self._agent)
        name = looking.name_of(files)
        with calling(
            f"rolling out {manifest.database.name!r}", lambda fault: _may_not(cluster, "apply", fault)
        ):
            self._write(cluster, _CONFIG_MAPS, files)
            owner = self._written_owner(rollout, name)
            if looking.is_leaving(owner):
                raise PassingError(
                    f"DaemonSet {looking.name_of(owner)!r} is being deleted; apply it when it is gone"
                )
            self._hand_over(cluster, name, owner)
            self._sweep(cluster, name, owner)

    def _written_owner(self, rollout: Rollout, name: str) -> Json:
        """Write the DaemonSet; one that is refused leaves nothing that waits for it."""
        cluster, body = rollout.plan.cluster, daemon_set(rollout, name, self._agent)
        try:
            return self._write(cluster, _DAEMON_SETS, body)
        except ApiException as refused:
            if not fault_of(refused).may_pass:
                self._sweep_orphans(cluster, looking.name_of(body))
            raise

    def _write(self, cluster: Cluster, collection: str, body: Json) -> Json:
        ask = Ask(
            method="PATCH",
            path=f"{collection}/{looking.name_of(body)}",
            query=(("fieldManager", FIELD_MANAGER), ("force", "true")),
            body=body,
            headers=_APPLY,
        )
        return self._sessions.read(cluster, ask)

    def _hand_over(self, cluster: Cluster, name: str, owner: Json) -> None:
        """Let the ConfigMap go when its DaemonSet goes."""
        reference = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "name": looking.name_of(owner),
            "uid": looking.uid_of(owner),
        }
        body = {"metadata": {"ownerReferences": [reference]}}
        path = f"{_CONFIG_MAPS}/{name}"
        try:
            self._sessions.send(cluster, Ask(method="PATCH", path=path, body=body, headers=_MERGE))
        except ApiException as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
            # It was an earlier DaemonSet's too, and went with that one.
            raise PassingError(f"ConfigMap {name!r} was deleted meanwhile; apply it again") from refused

    def _sweep(self, cluster: Cluster, name: str, owner: Json) -> None:
        """Delete what earlier runs of this DaemonSet mounted."""
        for old in map(looking.name_of, self._config_maps(cluster, looking.name_of(owner))):
            if old != name:
                self._delete(cluster, f"{_CONFIG_MAPS}/{old}")

    def _sweep_orphans(self, cluster: Cluster, owner: str) -> None:
        """Delete what no DaemonSet came to own; one that is left is swept by the next removal or run.

        Exactly as it was read: a run that writes now may have handed it over meanwhile.
        """
        try:
            for found in self._config_maps(cluster, owner):
                if not looking.is_owned(found):
                    self._delete(cluster, f"{_CONFIG_MAPS}/{looking.name_of(found)}", _exactly(found))
        except SDK_ERRORS as error:
            _logger.warning("ConfigMap may be left: daemonset=%s %s", owner, fault_of(error))

    def _config_maps(self, cluster: Cluster, owner: str) -> list[Json]:
        family = re.compile(re.escape(owner) + r"-[0-9a-f]{10}")
        found = self._sessions.items(cluster, _CONFIG_MAPS, (("labelSelector", naming.SELECTOR),))
        return [each for each in found if family.fullmatch(looking.name_of(each))]

    def _found(self, cluster: Cluster, path: str) -> Json | None:
        try:
            return self._sessions.read(cluster, Ask(path=path))
        except ApiException as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    def _patch(self, cluster: Cluster, path: str, body: Json, found: Json) -> bool:
        """Patch an object; False where it is not as it was read, or no more."""
        metadata = {**mapping(body, "metadata"), **_version(found)}
        ask = Ask(method="PATCH", path=path, body={**body, "metadata": metadata}, headers=_STRATEGIC)
        try:
            self._sessions.send(cluster, ask)
        except ApiException as refused:
            if refused.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise
            return False
        return True

    def _delete(self, cluster: Cluster, path: str, options: Json | None = None) -> bool:
        """Delete an object; False where it has changed meanwhile. What is gone already is deleted."""
        try:
            self._sessions.send(cluster, Ask(method="DELETE", path=path, body=options))
        except ApiException as refused:
            if refused.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise
            return bool(refused.status == HTTPStatus.NOT_FOUND)
        return True


def _went_with_its_cluster(refused: RefusedError) -> bool:
    """False where the cluster is no more: there is nothing to change; other refusals are raised again."""
    if refused.refusal.reason is not Reason.CLUSTER_NOT_FOUND:
        raise refused
    return False


def _exactly(found: Json) -> Json:
    """Delete the object as it was read: another run may have written it anew meanwhile."""
    return {"propagationPolicy": "Background", "preconditions": _version(found)}


def _version(found: Json) -> Json:
    return {"uid": looking.uid_of(found), "resourceVersion": found["metadata"]["resourceVersion"]}


def _power_state(found: Any) -> str:
    """ARM's own word: the SDK hands it as an enumeration, or as text where it does not know it."""
    code = found.power_state.code if found.power_state else "Unknown"
    return str(getattr(code, "value", code))


def _kubelet(found: Any) -> KubeletIdentity | None:
    identity = (found.identity_profile or {}).get("kubeletidentity")
    if identity is None or not identity.object_id:
        return None
    return KubeletIdentity(object_id=str(identity.object_id), client_id=str(identity.client_id or ""))


def _unreachable(cluster: Cluster, found: Any) -> Refusal:
    profile = found.api_server_access_profile
    if profile is not None and profile.enable_private_cluster:
        why, cure = (
            "its API server is private",
            "join the app to a network that reaches it (VNet integration)",
        )
    elif profile is not None and profile.authorized_ip_ranges:
        why, cure = "its API server admits only listed addresses", "add the app's outbound addresses to them"
    else:
        why, cure = (
            "its API server does not answer",
            "check that it is up and that the app's network reaches it",
        )
    return Refusal(
        reason=Reason.CLUSTER_UNREACHABLE,
        message=f"cluster {cluster.name!r} cannot be reached: {why}",
        remedy=cure,
    )


def _may_not(cluster: Cluster, verb: str, fault: Fault) -> Refusal:
    if _DENIAL.search(fault.message) or (
        fault.status == HTTPStatus.FORBIDDEN and _POLICY.search(fault.message)
    ):
        return Refusal(
            reason=Reason.POLICY_FORBIDS,
            message=f"a policy of cluster {cluster.name!r} forbids the warm-up's pods ({fault})",
            remedy="exempt namespace default from the policy on hostPath; AKS Automatic cannot be warmed",
        )
    # How much is too much is worded anew from one version to the next.
    if fault.code == "RequestEntityTooLarge" or ": Too long: " in fault.message:
        return Refusal(
            reason=Reason.DATABASE_TOO_MANY_FILES,
            message=f"the manifest does not fit into a ConfigMap ({fault})",
            remedy="stage the database with larger volumes",
        )
    by_role = (
        "bind the app's identity to what it needs: sed s/APP_OBJECT_ID/<its object id>/ "
        "deploy/cluster-role.yaml | kubectl apply -f -"
    )
    if "exceeded quota" in fault.message:
        return Refusal(
            reason=Reason.CLUSTER_FORBIDDEN,
            message=f"a ResourceQuota of cluster {cluster.name!r} leaves no room to {verb} ({fault})",
            remedy=f"raise the ResourceQuota of namespace {naming.NAMESPACE}, or make room in it",
        )
    by_hand = f"kubectl -n {naming.NAMESPACE} delete daemonset -l {naming.SELECTOR}, then start again"
    return Refusal(
        reason=Reason.CLUSTER_FORBIDDEN,
        message=f"the API server of {cluster.name!r} refused to {verb} ({fault})",
        remedy=by_role if fault.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else by_hand,
    )
