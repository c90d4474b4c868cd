"""Who may do what: bearer tokens, and the two roles they stand for.

`admin` may do everything; `reader` may look (get, list, watch). The tokens are drawn once per cluster and
kept beside its state, readable by their owner alone; the control has one of its own.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from local.cluster.failures import forbidden, unauthorized

if TYPE_CHECKING:
    from pathlib import Path

    from local.cluster.requests import ApiRequest

READING = frozenset({"get", "list", "watch"})

TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """One secret per role."""

    admin: str
    reader: str
    control: str


def load_tokens(file: Path) -> Tokens:
    """The tokens of this cluster, drawn at the first call."""
    if file.exists():
        return Tokens(**json.loads(file.read_text()))
    drawn = Tokens(**{role: secrets.token_urlsafe(TOKEN_BYTES) for role in ("admin", "reader", "control")})
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, json.dumps(asdict(drawn)))
    return drawn


def user_of(tokens: Tokens, authorization: str) -> str:
    """The user whom an `Authorization` header names; raises 401."""
    token = authorization.removeprefix("Bearer ")
    for user in ("admin", "reader"):
        if hmac.compare_digest(token.encode(), getattr(tokens, user).encode()):
            return user
    raise unauthorized()


def check_allowed(user: str, request: ApiRequest) -> None:
    """Raise 403, worded as RBAC words it, unless the user may do this."""
    if user == "admin" or request.verb in READING:
        return
    kind, name = request.kind, request.name
    where = f' in the namespace "{request.namespace}"' if request.namespace else " at the cluster scope"
    named = f' "{name}"' if name else ""
    message = (
        f'{kind.qualified}{named} is forbidden: User "{user}" cannot {request.verb} resource "{kind.plural}" '
        f'in API group "{kind.group}"{where}'
    )
    raise forbidden(kind, name, message)


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    draft.replace(file)
