"""Lists by pages: the first page freezes the whole answer, so that the pages of one list agree."""

from __future__ import annotations

import base64
import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cluster.failures import bad_request, expired

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.cluster.objects import Json

FROZEN_LISTS = 64
"""Lists in progress that are remembered; an older continue token is answered 410, as after a compaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a list, and where to go on."""

    items: Sequence[Json]
    version: str
    token: str = ""
    remaining: int = 0

    @property
    def metadata(self) -> Json:
        """The list's metadata."""
        more = {"continue": self.token, "remainingItemCount": self.remaining} if self.token else {}
        return {"resourceVersion": self.version, **more}


class Pages:
    """The lists in progress."""

    def __init__(self) -> None:
        self._frozen: OrderedDict[str, tuple[Sequence[Json], str]] = OrderedDict()

    def first(self, items: Sequence[Json], version: int, limit: int) -> Page:
        """The first `limit` items (0: all of them)."""
        if not limit or len(items) <= limit:
            return Page(items=items, version=str(version))
        identity = secrets.token_hex(8)
        self._frozen[identity] = (items, str(version))
        if len(self._frozen) > FROZEN_LISTS:
            self._frozen.popitem(last=False)
        return self._page(identity, 0, limit)

    def next(self, token: str, limit: int) -> Page:
        """The page that a token stands for; raises 400 for a strange one, 410 for one too old."""
        try:
            identity, offset = json.loads(base64.urlsafe_b64decode(token))
        except ValueError as error:
            raise bad_request(f"continue key is not valid: {error}") from error
        if identity not in self._frozen:
            raise expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You can start a new list without the continue parameter."
            )
        return self._page(identity, int(offset), limit)

    def _page(self, identity: str, offset: int, limit: int) -> Page:
        items, version = self._frozen[identity]
        end = offset + limit if limit else len(items)
        remaining = max(0, len(items) - end)
        token = base64.urlsafe_b64encode(json.dumps([identity, end]).encode()).decode()
        return Page(
            items=items[offset:end], version=version, token=token if remaining else "", remaining=remaining
        )
