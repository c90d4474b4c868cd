"""The custom metrics on their way to Application Insights: the worker's own set-up, the real exporter."""

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from testkit.worker import REPOSITORY

# What the worker does at its start when it is told to export; then one run ends.
PROGRAM = """
from azure_functions_runtime.otel import initialize_azure_monitor
initialize_azure_monitor()

from opentelemetry import metrics
from activities.endings import record_ending
from shared.domain.runs import EndedRun

record_ending(
    EndedRun(run_id="r", status="succeeded", cluster="blast", databases="core_nt", error="",
             bytes_fetched=300, seconds=12.3)
)
metrics.get_meter_provider().force_flush(10_000)
"""


class Ingestion(ThreadingHTTPServer):
    """Stands where Application Insights takes telemetry in, and keeps it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.envelopes: list[dict[str, Any]] = []


class Taking(BaseHTTPRequestHandler):
    """Takes everything."""

    server: Ingestion

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        taken = json.loads(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
        self.server.envelopes += taken
        told = {"itemsReceived": len(taken), "itemsAccepted": len(taken), "errors": []}
        answer = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    with Ingestion() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_worker_that_is_told_to_exports_what_a_run_took(ingestion: Ingestion) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "APPLICATIONINSIGHTS_CONNECTION_STRING": (
            "InstrumentationKey=00000000-0000-0000-0000-000000000001;"
            f"IngestionEndpoint=http://127.0.0.1:{ingestion.server_port}/"
        ),
        # Its own news of itself would go to a public address.
        "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
        "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
        "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    }
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, cwd=REPOSITORY, check=True, timeout=120)

    measured = {
        metric["name"]: (metric["value"], envelope["data"]["baseData"]["properties"]["cluster"])
        for envelope in ingestion.envelopes
        for metric in envelope["data"]["baseData"].get("metrics", ())
        if metric["name"].startswith("warmup.")
    }
    assert measured == {
        "warmup.runs": (1, "blast"),
        "warmup.bytes_fetched": (300, "blast"),
        "warmup.run.duration": (12.3, "blast"),
    }
