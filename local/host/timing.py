"""Run timer functions on their schedules."""

import json
import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any

from azure.functions.meta import Datum
from azure.functions.timer import TimerRequestConverter

from local.host.indexing import App, Function, Trigger, timer_binding
from local.host.invoking import Invoker
from local.host.schedules import Schedule, parse_schedule

_logger = logging.getLogger(__name__)


class Timing:
    """One thread per timer function; runs of one function never overlap."""

    def __init__(self, app: App, invoker: Invoker) -> None:
        """Read the schedules; ScheduleError if one cannot be obeyed."""
        self._invoker = invoker
        self._schedules = {
            function.name: (function, parse_schedule(timer_binding(function).schedule))
            for function in app.of(Trigger.TIMER)
        }

    def start(self) -> None:
        """Begin to keep time."""
        for function, schedule in self._schedules.values():
            threading.Thread(
                target=self._run, args=(function, schedule), daemon=True, name=f"timer-{function.name}"
            ).start()

    def run_now(self, function: Function) -> None:
        """Run a timer function outside its schedule and wait for it; its failure is logged."""
        try:
            self._invoker.submit(function, {function.trigger_name: timer_request()}).result()
        except Exception:
            _logger.exception("Executed 'Functions.%s' (Failed)", function.name)

    def _run(self, function: Function, schedule: Schedule) -> None:
        if timer_binding(function).run_on_startup:
            self.run_now(function)
        while True:
            _wait_until(schedule.after(datetime.now(UTC)))
            self.run_now(function)


def _wait_until(due: datetime) -> None:
    # A wait may end a little before the clock says so, and the same moment would come twice.
    while (left := (due - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(left)


def timer_request() -> Any:
    """Make what a timer function receives."""
    body = {"IsPastDue": False, "Schedule": {"AdjustForDST": True}, "ScheduleStatus": None}
    return TimerRequestConverter.decode(Datum(json.dumps(body), "json"), trigger_metadata={})
