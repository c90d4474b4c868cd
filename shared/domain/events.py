"""What the logs say when a run's state changes: one event, one line of JSON, the same fields in every query.

The Functions worker forwards a message and nothing beside it, so the fields are the message. Activities may
run twice after a crash: whoever counts takes the latest of an instance, event and database.
"""

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.sanitising import sanitise

PREFIX = "warmup event "  # what queries and the alert look for


class Change(StrEnum):
    """What happened."""

    STARTED = "run_started"
    ACCOUNT_OPENED = "account_opened"
    ROLLED_OUT = "rolled_out"
    CANCEL_ASKED = "cancel_asked"
    ACCOUNT_CLOSED = "account_closed"
    ENDED = "run_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change; what does not apply is empty, and left out."""

    event: Change
    instance_id: str
    cluster: str = ""
    database: str = ""  # several, separated by commas, where the change is the whole run's
    account: str = ""
    phase: str = ""  # the phase that the run has reached by it
    mode: str = ""  # warm | verify | release
    status: str = ""  # how it ended
    bytes: int | None = None  # per node when rolled out; fetched over the wire when ended
    seconds: float | None = None  # since the run began
    by: str = ""  # an object id, or keep-warm
    error: str = ""


def line_of(event: Event) -> str:
    """The log line.

    >>> line_of(Event(event=Change.STARTED, instance_id="r1", cluster="c", bytes=0))
    'warmup event {"event":"run_started","instance_id":"r1","cluster":"c","bytes":0}'
    """
    fields = {key: value for key, value in dataclasses.asdict(event).items() if value not in ("", None)}
    if event.error:
        fields["error"] = sanitise(event.error)
    return PREFIX + json.dumps(fields, separators=(",", ":"))
