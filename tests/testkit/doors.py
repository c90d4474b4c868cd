"""An app of doors over ports in memory, spoken to as the dashboards do."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testkit.hosting import REPOSITORY, Answer, RunningHost
from testkit.waiting import wait_until

_APP = REPOSITORY / "tests/contract/http/app"
_PACKAGES = ("activities", "entrypoints", "orchestrators", "shared")
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"


class Doors:
    """A running app, and the world behind it."""

    def __init__(self, host: RunningHost, folder: Path) -> None:
        self.host = host
        self._folder = folder

    def world(self, **says: object) -> None:
        """Set the world; what is not named is as usual."""
        fresh = self._folder / "world.new"
        fresh.write_text(json.dumps(says))
        fresh.replace(self._folder / "world.json")

    def acts(self, act: str) -> list[dict[str, Any]]:
        """What was done to the world, of one kind."""
        file = self._folder / "acts.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [done for done in map(json.loads, lines) if done["act"] == act]

    def get(self, path: str, **headers: str) -> Answer:
        return self.host.ask("GET", f"/api/{path}", headers=headers)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        text = body if isinstance(body, str) else json.dumps(body)
        return self.host.ask("POST", f"/api/{path}", text, {"content-type": "application/json"} | headers)

    def start(self, body: dict[str, object], nonce: str = "") -> Answer:
        """Start a warm-up as the dashboard does, with an id that stays through its retries."""
        headers = {"x-client-request-id": nonce or uuid.uuid4().hex}
        return self.host.ask("POST", "/api/warmup/start", json.dumps(body), headers)

    def status(self, run_id: str) -> dict[str, Any]:
        answer = self.get(f"warmup/{run_id}/status")
        assert answer.status == 200, answer.body
        status: dict[str, Any] = answer.json
        return status

    def between_two_rounds(self) -> None:
        """Wait until the app's janitor, who comes with each minute, is gone and not about to come again."""
        wait_until(lambda: datetime.now(UTC).second in range(3, 45))

    def until_over(self, run_id: str) -> dict[str, Any]:
        """Poll as the dashboard does, until it would stop."""
        over: dict[str, Any] = self.host.until_true(
            lambda: self.status(run_id),
            lambda status: status["runtime_status"] in ("Completed", "Failed", "Terminated"),
        )
        return over

    def until_phase(self, run_id: str, phase: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.host.until_true(
            lambda: self.status(run_id),
            lambda status: (status["custom_status"] or {}).get("phase") == phase,
        )
        return shown


def smallest(cluster: str, db: str = "core_nt") -> dict[str, object]:
    """The least that any dashboard sends."""
    return {
        "subscription_id": SUBSCRIPTION,
        "resource_group": "rg-elb",
        "storage_account": "blastdata",
        "db": f"blast-db/{db}",
        "db_display_name": db,
        "aks_cluster_name": cluster,
    }


def lay_out(folder: Path) -> Path:
    """Make an app root as it is deployed: the function app, and the product's packages beside it."""
    root = folder / "app"
    root.mkdir()
    for file in ("function_app.py", "host.json"):
        (root / file).symlink_to(_APP / file)
    for package in _PACKAGES:
        (root / package).symlink_to(REPOSITORY / package)
    return root


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What the app under test is told; without a tenant, it lets developers in."""
    told = {
        "STAGE_FOLDER": str(folder),
        "PYTHONPATH": str(REPOSITORY / "tests"),
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        # Tests may run in a container that has these; for the app they are signs of Azure.
        **dict.fromkeys(("CONTAINER_NAME", "KUBERNETES_SERVICE_HOST"), ""),
        "AzureWebJobsStorage__blobServiceUri": "https://127.0.0.1:1/app",
        "WARMUP_IMAGE": "elbacr.azurecr.io/ncbi/elb:1.4.0",
        "ALLOWED_CLUSTERS": "*",
        "ALLOWED_STORAGE_ACCOUNTS": "*",
    }
    bypass = {} if "AZURE_TENANT_ID" in more else {"AUTH_DEV_BYPASS": "true"}
    return told | bypass | more
