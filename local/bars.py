"""What is shown while something takes long: a bar per node, or plain lines where there is no terminal."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
)

console = Console(highlight=False, soft_wrap=True)

_PLAIN_LINE_EVERY_SECONDS = 2.0
_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1_000


class NodeBars:
    """One bar per node, fed with what the run's status says of it."""

    def __init__(self) -> None:
        """Nothing is drawn before the first node is known."""
        self._progress = Progress(
            TextColumn("  {task.description:<10}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            DownloadColumn(),
            TextColumn("{task.fields[rate]:>10}"),
            TextColumn("{task.fields[left]:>9}"),
            TextColumn("{task.fields[phase]}"),
            console=console,
            transient=True,  # its last state is printed instead, which a picture can show too
        )
        self._recording = console.record
        self._tasks: dict[str, TaskID] = {}
        self._last_line = 0.0

    def __enter__(self) -> Self:
        """Begin to draw, if there is a terminal."""
        if console.is_terminal:
            console.record = False  # hundreds of frames
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state standing."""
        if console.is_terminal:
            self._progress.stop()
            console.record = self._recording
            console.print(self._progress.get_renderable())

    def show(self, nodes: Iterable[dict[str, Any]], phase: str) -> None:
        """Draw every node's state."""
        if console.is_terminal:
            for node in nodes:
                self._draw(node)
        elif time.monotonic() - self._last_line >= _PLAIN_LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            console.print(f"  {phase}: " + ("; ".join(_line(node) for node in nodes) or "no node seen yet"))

    def _draw(self, node: dict[str, Any]) -> None:
        name, total = node["node"], node["bytes_total"] or None
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, phase="", rate="", left="")
        self._progress.update(
            self._tasks[name],
            total=total,
            completed=node["bytes_done"],
            phase=node["phase"],
            rate=f"{size(node['bytes_per_second'])}/s" if node["bytes_per_second"] else "",
            left="" if node["eta_seconds"] is None else f"{node['eta_seconds']} s left",
        )


class StepBars:
    """One bar for the step at hand; made of the same stuff as `local.databases.Progress`."""

    def __init__(self) -> None:
        """No step yet."""
        self._step = ""
        self._last_line = 0.0
        self._finished = False

    def __call__(self, step: str, done: int, total: int) -> None:
        """Say how far a step is, at most every two seconds and at its ends."""
        now = time.monotonic()
        soon = now - self._last_line < _PLAIN_LINE_EVERY_SECONDS
        if step == self._step and (soon if done < total else self._finished):
            return
        self._step, self._last_line, self._finished = step, now, done >= total
        share = 100 * done // total if total else 100
        end = "\r" if console.is_terminal and done < total else "\n"
        sys.stdout.write(f"  {step}: {share:3d} %{end}")
        sys.stdout.flush()


@contextmanager
def timed(sentence: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    began = time.monotonic()
    console.print(f"  {sentence} …")
    yield
    console.print(f"  {sentence}: {time.monotonic() - began:.1f} s")


def size(amount: float) -> str:
    """Bytes as people read them.

    >>> size(132_796_270)
    '132.8 MB'
    """
    unit = 0
    while amount >= _THOUSAND and unit < len(_UNITS) - 1:
        amount, unit = amount / _THOUSAND, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit else f"{amount:.0f} B"


def _line(node: dict[str, Any]) -> str:
    left = "" if node["eta_seconds"] is None else f", {node['eta_seconds']} s left"
    done, total, rate = (size(node[key]) for key in ("bytes_done", "bytes_total", "bytes_per_second"))
    return f"{node['node']} {node['phase']} {done} of {total}, {rate}/s{left}"
