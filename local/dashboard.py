"""What the dashboard's page does, done from here: start a warm-up, follow it, ask how warm a cluster is."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from local import wiring
from local.wiring import Wiring

Json = dict[str, Any]

TIMEOUT_SECONDS = 30.0  # the page's own
_FINISHED = ("Completed", "Failed", "Terminated")


class DashboardError(Exception):
    """The app answered with an error; the message is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A page open on one cluster."""

    wiring: Wiring

    def smallest_body(self, database: str) -> Json:
        """What the oldest page sends, and nothing else."""
        return {
            "subscription_id": wiring.SUBSCRIPTION,
            "resource_group": wiring.RESOURCE_GROUP,
            "storage_account": wiring.DATA_ACCOUNT,
            "db": f"blast-db/{database}",
            "db_display_name": database,
            "aks_cluster_name": wiring.CLUSTER,
        }

    def start(self, database: str) -> str:
        """Press the button; the run's id."""
        return str(self.ask("POST", "/api/warmup/start", self.smallest_body(database))["instance_id"])

    def follow(self, run_id: str) -> Iterator[Json]:
        """The run's status, again and again, until it is over."""
        while True:
            status = self.ask("GET", f"/api/warmup/{run_id}/status")
            yield status
            if status["runtime_status"] in _FINISHED:
                return

    def warmth(self) -> Json:
        """How warm the cluster is."""
        query = urlencode(
            {
                "subscription_id": wiring.SUBSCRIPTION,
                "resource_group": wiring.RESOURCE_GROUP,
                "cluster_name": wiring.CLUSTER,
            }
        )
        return self.ask("GET", f"/api/monitor/aks/warmup-status?{query}")

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """One request of the page; its answer, or DashboardError."""
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.wiring.app_url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - same
                document: Json = json.load(answer)
                return document
        except urllib.error.HTTPError as refused:
            raise DashboardError(
                f"{method} {path} answered {refused.code}: {refused.read().decode()[:500]}"
            ) from refused
        except OSError as silent:
            raise DashboardError(f"{method} {path} got no answer: {silent}") from silent
