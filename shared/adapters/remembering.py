"""What one look may reuse of the looks before it, in this process only.

Another instance of the app may take the next look: so nothing is concluded from what is remembered here. It
spares logs that were read lately; since when something has been amiss is known to Kubernetes and to the run.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from threading import Lock

from shared.domain.model import Cluster
from shared.domain.reporting import AgentReport

_RUNS = 32  # more than one app ever watches at a time


class Memory:
    """One run's: what each pod reported last, and when its log was last asked for.

    A run's own look and a page's may be under way at once: what one reads, the other never changes in place.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.reports: dict[str, AgentReport] = {}
        self.asked: dict[str, datetime] = {}

    def learn(self, asked: Mapping[str, datetime], reports: Mapping[str, AgentReport]) -> None:
        """Add what a look has asked and heard; of two at once one may be lost, and is asked again."""
        self.asked = {**self.asked, **asked}
        self.reports = {**self.reports, **reports}

    def forget_all_but(self, pod_uids: Iterable[str]) -> None:
        """Drop what is known of pods that are gone."""
        living = set(pod_uids)
        self.reports = {uid: report for uid, report in self.reports.items() if uid in living}
        self.asked = {uid: when for uid, when in self.asked.items() if uid in living}


class Memories:
    """The newest runs' memories."""

    def __init__(self) -> None:
        """Know no run."""
        self._lock = Lock()
        self._runs: OrderedDict[tuple[Cluster, str], Memory] = OrderedDict()

    def of(self, cluster: Cluster, run_id: str) -> Memory:
        """A run's memory, made at its first look."""
        with self._lock:
            memory = self._runs.setdefault((cluster, run_id), Memory())
            self._runs.move_to_end((cluster, run_id))
            while len(self._runs) > _RUNS:
                self._runs.popitem(last=False)
            return memory
