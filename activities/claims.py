"""Hands on the claims: who warms what."""

from shared.domain.claims import Hold, Holder, hold_of
from shared.domain.runs import Holdings
from shared.ports import Claims


def hold_on(holdings: Holdings, claims: Claims) -> Hold:
    """What a run's claims tell it now; for the other hands, which ask before they act."""
    held = {each: claims.read(holdings.cluster, each) for each in holdings.databases}
    return hold_of(holdings.run_id, held)


def release_claims(holdings: Holdings, *, claims: Claims) -> bool:
    """Give up what this run holds; claims of other runs are left alone, so repeating it is safe."""
    claims.drop(holdings.cluster, holdings.databases, Holder(holdings.run_id))
    return True
