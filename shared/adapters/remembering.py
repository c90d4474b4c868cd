"""What one look may know of the looks before it, in this process only; losing it costs patience, no truth."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from threading import Lock

from shared.domain.model import Cluster
from shared.domain.reporting import AgentReport

_RUNS = 32  # more than one app ever watches at a time


class Memory:
    """One run's: what each pod reported last, and since when something has been amiss."""

    def __init__(self) -> None:
        """Know nothing."""
        self.reports: dict[str, AgentReport] = {}
        self._since: dict[str, datetime] = {}

    def since(self, kind: str, names: Iterable[str], now: datetime) -> dict[str, datetime]:
        """Since when each of these has been so; those of this kind that no longer are, are forgotten."""
        present = {name: self._since.get(f"{kind}/{name}", now) for name in names}
        others = {key: when for key, when in self._since.items() if not key.startswith(f"{kind}/")}
        self._since = others | {f"{kind}/{name}": when for name, when in present.items()}
        return present

    def forget_all_but(self, pod_uids: Iterable[str]) -> None:
        """Drop the reports of pods that are gone."""
        living = set(pod_uids)
        self.reports = {uid: report for uid, report in self.reports.items() if uid in living}


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
