"""What ARM answers to a change of an account's network, and what an operator reads of it."""

import pytest
from testkit.builders import ACCOUNT

from shared.adapters.errors import Fault
from shared.adapters.network_refusals import may_not_change
from shared.domain.model import AccessMode
from shared.domain.refusals import Reason, Refusal
from shared.settings import AccessSettings

WITHIN = "Validation of network acls failure: SubnetsHaveNoServiceEndpointsConfigured: subnet s"
OURS, THEIRS = "the subnet of STORAGE_SUBNET_ID", "network-rule list --account-name blastdata"
SUBNETS = [
    (Fault(status=403, code="LinkedAuthorizationFailed", message=""), "joinViaServiceEndpoint/action"),
    (Fault(status=400, code="SubnetsHaveNoServiceEndpointsConfigured", message=""), "--service-endpoints"),
    (Fault(status=400, code="NetworkAclsValidationFailure", message=WITHIN), "--service-endpoints"),
    (Fault(status=400, code="NetworkAclsValidationFailure", message="SubnetNotFound"), "still exists"),
]


def refusal(fault: Fault, mode: AccessMode = AccessMode.WINDOW) -> Refusal:
    access = AccessSettings(mode=mode, subnet_id="/subnets/s", container="blast-db")
    return may_not_change(ACCOUNT, access)(fault)


@pytest.mark.parametrize(("fault", "cure"), SUBNETS)
@pytest.mark.parametrize(("mode", "which"), [(AccessMode.VNET, OURS), (AccessMode.WINDOW, THEIRS)])
def test_a_subnet_in_the_way_is_ours_or_one_that_a_rule_had_before(
    fault: Fault, cure: str, mode: AccessMode, which: str
) -> None:
    told = refusal(fault, mode)

    assert fault.code in told.message
    assert cure in told.remedy
    assert which in told.remedy


@pytest.mark.parametrize(
    ("fault", "reason", "cure"),
    [
        (Fault(status=409, code="ScopeLocked", message=""), Reason.ACCOUNT_FORBIDDEN, "az lock list"),
        (Fault(status=403, code="RequestDisallowedByPolicy", message=""), Reason.POLICY_FORBIDS, "endpoint"),
        (Fault(status=403, code="AuthorizationFailed", message=""), Reason.ACCOUNT_FORBIDDEN, "--role"),
        (Fault(status=400, code="InvalidValue", message=""), Reason.STORAGE_BLOCKED, "MODE to none"),
    ],
)
def test_what_is_no_matter_of_subnets_does_not_speak_of_them(fault: Fault, reason: Reason, cure: str) -> None:
    told = refusal(fault)

    assert told.reason is reason
    assert cure in told.remedy
    assert "subnet" not in told.remedy
