"""Logs of init containers, read side by side within a bound of time; no log is an answer too."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TypeVar

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from shared.adapters.kubernetes_session import Ask, KubernetesSessions
from shared.domain import naming
from shared.domain.model import Cluster
from shared.domain.observing import NodeState
from shared.domain.progress import NodeLog
from shared.domain.reporting import AgentReport, last_report
from shared.domain.sanitising import MAX_LINES, last_lines

_THREADS = 8
_SECONDS_EACH = 5
_SECONDS_ALL = 20  # a look must not outlast the pause before the next by much
_TAIL = 3 * MAX_LINES  # reports for machines stand between the lines for people
_RETRY_LINES = 3  # beside how it failed, which counts
_MAX_BYTES = 1 << 16  # a hostile log's line may have any length
# What a kubelet says in place of a log that it has thrown away already; the status is 200.
_PRUNED = "unable to retrieve container logs for"

T = TypeVar("T")


class KubernetesLogs:
    """What agents wrote, in time or not at all."""

    def __init__(self, sessions: KubernetesSessions) -> None:
        """Keep the way to the clusters."""
        self._sessions = sessions

    def last_words(self, cluster: Cluster, states: Iterable[NodeState]) -> dict[str, str]:
        """The end of each pod's log, by pod uid; pods whose log cannot be had in time are left out."""
        return _side_by_side(states, lambda state: self._log(cluster, state, previous=False))

    def of_failures(self, cluster: Cluster, states: Iterable[NodeState]) -> tuple[NodeLog, ...]:
        """What each of these nodes wrote before it failed, and what the attempt after that says by now."""
        chosen = tuple(states)
        logs = _side_by_side(chosen, lambda state: self._attempts(cluster, state))
        found = (_of_attempts(state, *logs.get(state.pod_uid, ("", ""))) for state in chosen)
        return tuple(log for log in found if log.lines)

    def _attempts(self, cluster: Cluster, state: NodeState) -> tuple[str, str]:
        """While a new attempt runs, the failure stands in the log of the one before, if it is still there."""
        last = self._log(cluster, state, previous=False)
        before = self._log(cluster, state, previous=True) if state.running and state.restarts else ""
        return (before, last) if before else (last, "")

    def _log(self, cluster: Cluster, state: NodeState, *, previous: bool) -> str:
        ask = Ask(
            path=f"/api/v1/namespaces/{naming.NAMESPACE}/pods/{state.pod}/log",
            query=(
                ("container", naming.INIT_CONTAINER),
                ("tailLines", _TAIL),
                ("limitBytes", _MAX_BYTES),
                *((("previous", "true"),) if previous else ()),
            ),
            read_seconds=_SECONDS_EACH,
        )
        try:
            text = self._sessions.send(cluster, ask).decode("utf-8", "replace")
        except (HTTPError, ApiException):
            return ""  # not started, gone already, forbidden, or a node that does not answer
        return "" if text.startswith(_PRUNED) else text


def reports_in(logs: dict[str, str]) -> dict[str, AgentReport]:
    """The last report in each log that holds one."""
    found = {uid: last_report(log) for uid, log in logs.items()}
    return {uid: report for uid, report in found.items() if report is not None}


def node_log(state: NodeState, lines: tuple[str, ...]) -> NodeLog:
    """One node's lines, as a status shows them."""
    return NodeLog(node=state.node, state=state.standing.value, lines=lines)


def _of_attempts(state: NodeState, failed: str, retrying: str) -> NodeLog:
    return replace(node_log(state, last_lines(failed)), retrying=last_lines(retrying)[-_RETRY_LINES:])


def _side_by_side(states: Iterable[NodeState], read: Callable[[NodeState], T]) -> dict[str, T]:
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="logs")
    reads = {state.pod_uid: threads.submit(read, state) for state in states}
    wait(reads.values(), timeout=_SECONDS_ALL)
    threads.shutdown(wait=False, cancel_futures=True)
    return {uid: each.result() for uid, each in reads.items() if each.done() and not each.cancelled()}
