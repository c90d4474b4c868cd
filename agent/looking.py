"""What one look at a database works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .blobs import Account
    from .manifest import File, Manifest
    from .places import Places
    from .reporting import Reporter
    from .settings import Settings
    from .tally import Counts


class Engine(Protocol):
    """Brings bytes from the account into staging."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def copy(self, files: Sequence[File], watch: Callable[[Counts], None]) -> None:
        """Fetch `files` to where they are staged; call `watch` several times a second.

        Safe to repeat after any end. What has landed is not believed before it is verified.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at one database on one node."""

    manifest: Manifest
    places: Places
    settings: Settings
    account: Account
    engine: Engine
    reporter: Reporter
