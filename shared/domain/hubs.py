"""Which task hub answers for a run: each knows its own runs only.

Slots of one app, and apps that share its storage, keep ledgers and claims in one place. To any hub but
its own a run looks like one that never was, so that nobody else may call it dead.
"""

from datetime import timedelta

from shared.domain.deadlines import LONGEST_RUN

# A slot may be deleted under its runs: an end to what they left, once none of them can be at work any more.
FOREIGN_PATIENCE = LONGEST_RUN + timedelta(days=1)


def may_judge(ours: str, theirs: str, age: timedelta) -> bool:
    """Whether our task hub says if a run lives: it is its own, of no known hub, or older than any run.

    >>> may_judge("WarmupHub", "SlotHub", timedelta(hours=2))
    False
    """
    return theirs in ("", ours) or age > FOREIGN_PATIENCE
