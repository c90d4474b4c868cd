"""Hands on the container of databases."""

from shared.domain.model import Account, StagedDatabase
from shared.domain.refusals import Refusal
from shared.domain.runs import DatabaseQuery, Probe
from shared.domain.staging import judge_staging
from shared.ports import Catalog


def probe_access(account: Account, *, catalog: Catalog) -> Probe:
    """Ask the data plane whether it answers; reading is safe to repeat."""
    return catalog.probe(account)


def describe_database(query: DatabaseQuery, *, catalog: Catalog) -> StagedDatabase | Refusal:
    """Say what is staged of one database; reading is safe to repeat."""
    manifest = judge_staging(catalog.listing(query.account, query.database))
    return manifest if isinstance(manifest, Refusal) else manifest.describe()
