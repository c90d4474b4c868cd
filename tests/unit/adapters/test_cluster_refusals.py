"""What an API server's refusal means; white box, since no laptop has AKS's policies."""

import pytest
from testkit.builders import CLUSTER

from shared.adapters.errors import Fault
from shared.adapters.kubernetes_clusters import _may_not
from shared.domain.refusals import Reason

GATEKEEPER = (
    'admission webhook "validation.gatekeeper.sh" denied the request: [azurepolicy-k8sazurev2hostfilesystem] '
    "HostPath volume is not allowed"
)
VALIDATING_POLICY = (
    'daemonsets.apps "warmup-nt" is forbidden: ValidatingAdmissionPolicy '
    "'aks-managed-baseline-hostpath-volumes' with binding 'aks-managed-baseline-hostpath-volumes-binding' "
    "denied request: HostPath volumes detected: [workspace]"
)
KYVERNO = 'admission webhook "validate.kyverno.svc-fail" denied the request: resource DaemonSet was blocked'
UNFIT = 'DaemonSet.apps "x" is invalid: spec.template.spec.volumes[0].hostPath.path: Required value'
RBAC = 'daemonsets.apps "warmup-nt" is forbidden: User "x" cannot patch resource "daemonsets"'


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=403, code="Forbidden", message=GATEKEEPER), Reason.POLICY_FORBIDS),
        (
            Fault(status=403, code="Forbidden", message="violates PodSecurity baseline"),
            Reason.POLICY_FORBIDS,
        ),
        (Fault(status=422, code="Invalid", message=VALIDATING_POLICY), Reason.POLICY_FORBIDS),
        (Fault(status=413, code="RequestEntityTooLarge", message=VALIDATING_POLICY), Reason.POLICY_FORBIDS),
        (Fault(status=400, code="BadRequest", message=KYVERNO), Reason.POLICY_FORBIDS),
        (Fault(status=422, code="Invalid", message=UNFIT), Reason.CLUSTER_FORBIDDEN),
        (Fault(status=403, code="Forbidden", message=RBAC), Reason.CLUSTER_FORBIDDEN),
        (Fault(status=401, code="Unauthorized", message="Unauthorized"), Reason.CLUSTER_FORBIDDEN),
        (
            Fault(status=413, code="RequestEntityTooLarge", message="limit is 3145728"),
            Reason.DATABASE_TOO_MANY_FILES,
        ),
        (
            Fault(status=422, code="Invalid", message="[]: Too long: must have at most 1048576 bytes"),
            Reason.DATABASE_TOO_MANY_FILES,
        ),
        (
            Fault(status=422, code="Invalid", message="[]: Too long: may not be more than 1048576 bytes"),
            Reason.DATABASE_TOO_MANY_FILES,
        ),
    ],
)
def test_policies_roles_and_sizes_are_told_apart(fault: Fault, reason: Reason) -> None:
    assert _may_not(CLUSTER, "apply", fault).reason is reason


def test_a_daemonset_of_another_shape_is_to_be_deleted_by_hand() -> None:
    fault = Fault(status=422, code="Invalid", message="spec.selector: field is immutable")

    assert "kubectl -n default delete daemonset" in _may_not(CLUSTER, "apply", fault).remedy


def test_a_quota_that_is_used_up_is_no_matter_of_roles() -> None:
    message = (
        'daemonsets.apps "warmup-nt" is forbidden: exceeded quota: q, requested: count/daemonsets.apps=1'
    )
    refusal = _may_not(CLUSTER, "apply", Fault(status=403, code="Forbidden", message=message))

    assert refusal.reason is Reason.CLUSTER_FORBIDDEN
    assert "ResourceQuota of namespace default" in refusal.remedy
