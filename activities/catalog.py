"""Hands on the container of databases."""

from activities.claims import hold_on
from shared.domain.model import StagedDatabase
from shared.domain.refusals import Refusal
from shared.domain.runs import DatabaseQuery, Probe, ProbeOrder
from shared.domain.staging import judge_staging
from shared.ports import Catalog, Claims


def probe_access(order: ProbeOrder, *, catalog: Catalog, claims: Claims) -> Probe | Refusal:
    """Ask the data plane whether it answers; reading is safe to repeat.

    A run that was asked to end is told so instead, since it may probe for minutes. That it holds nothing
    says nothing here: a dry run claims no database.
    """
    return hold_on(order.holdings, claims).cancelled or catalog.probe(order.account)


def describe_database(query: DatabaseQuery, *, catalog: Catalog) -> StagedDatabase | Refusal:
    """Say what is staged of one database; reading is safe to repeat."""
    manifest = judge_staging(catalog.listing(query.account, query.database))
    return manifest if isinstance(manifest, Refusal) else manifest.describe()
