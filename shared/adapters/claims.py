"""Claims: one document per cluster and database, taken and changed by compare-and-swap."""

from collections.abc import Callable
from dataclasses import replace

from shared.adapters.documents import Documents, Version
from shared.domain.claims import Claim, Holder, given_back
from shared.domain.model import Cluster, Database
from shared.domain.naming import CLAIMS_FOLDER, claim_name
from shared.ports import PassingError

_TRIES = 5  # only a cancellation, an ending and the janitor ever meet here


class BlobClaims:
    """The port `Claims`."""

    def __init__(self, documents: Documents) -> None:
        """Keep where the documents lie."""
        self._documents = documents

    def take(self, claim: Claim, over: Claim | None) -> bool:
        """Write it where there is none, or over exactly `over`; taking what one holds already succeeds."""
        name = claim_name(claim.cluster, claim.database)
        found = None if over is None else self._read(claim.cluster, claim.database)
        if found is None:
            won = self._documents.create(name, claim)
        else:
            won = found.value == over and self._documents.replace(name, claim, found.etag)
        # An earlier try may have won, and its answer been lost.
        return won or self.read(claim.cluster, claim.database) == claim

    def read(self, cluster: Cluster, database: Database) -> Claim | None:
        """Who holds it."""
        found = self._read(cluster, database)
        return None if found is None else found.value

    def all(self) -> tuple[Claim, ...]:
        """Read every document."""
        found = (self._documents.read(name, Claim) for name in self._documents.names(CLAIMS_FOLDER))
        return tuple(version.value for version in found if version is not None)

    def drop(self, cluster: Cluster, databases: tuple[Database, ...], holder: Holder) -> None:
        """Delete what is the holder's, or give them back, in whatever version they are."""
        for database in databases:
            self._change(cluster, database, holder, given_back)

    def end(self, cluster: Cluster, databases: tuple[Database, ...], holder: Holder) -> bool:
        """Mark what is the holder's."""
        marked = [
            self._change(cluster, each, holder, lambda held: replace(held, ended=True)) for each in databases
        ]
        return any(marked)

    def cancel(self, cluster: Cluster, database: Database, run_id: str, by: str) -> bool:
        """Write down who asked; whoever asked first stays named."""
        return self._change(
            cluster,
            database,
            Holder(run_id),
            lambda held: replace(held, cancelled_by=held.cancelled_by or by),
        )

    def _change(
        self, cluster: Cluster, database: Database, holder: Holder, change: Callable[[Claim], Claim | None]
    ) -> bool:
        """Write what a claim of the holder's becomes, or delete it; False where it is not one (any more)."""
        name = claim_name(cluster, database)
        for _ in range(_TRIES):
            found = self._read(cluster, database)
            if found is None or not holder.holds(found.value):
                return False
            if self._becomes(name, found, change(found.value)):
                return True
        raise _contended(name)

    def _becomes(self, name: str, found: Version[Claim], changed: Claim | None) -> bool:
        if changed is None:
            return self._documents.delete(name, found.etag)
        return changed == found.value or self._documents.replace(name, changed, found.etag)

    def _read(self, cluster: Cluster, database: Database) -> Version[Claim] | None:
        return self._documents.read(claim_name(cluster, database), Claim)


def _contended(name: str) -> PassingError:
    return PassingError(f"{name} was changed by others {_TRIES} times in a row; try again")
