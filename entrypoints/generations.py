"""Which generation of a database its container holds now, as far as it can be read."""

from shared.domain.model import Database
from shared.domain.refusals import Refusal
from shared.domain.runs import AccountQuery
from shared.domain.staging import judge_staging
from shared.ports import Accounts, Catalog


def staged_generation(
    query: AccountQuery, database: Database, accounts: Accounts, catalog: Catalog
) -> str | None:
    """The generation; None where nothing complete is staged.

    The account is found by its name, never by an endpoint that a cluster names: tokens go to Azure only.

    Raises:
        PassingError, FinalError: when the container cannot be read, as between runs that open its account.
    """
    account = accounts.find(query)
    if isinstance(account, Refusal):
        return None
    manifest = judge_staging(catalog.listing(account, database))
    return None if isinstance(manifest, Refusal) else manifest.generation
