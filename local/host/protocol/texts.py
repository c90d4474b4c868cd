"""The sentences the real extension writes into histories and outputs, word for word.

Programs print them and tests compare them, so they are kept in one place. Sources: recordings of
the extension 3.19; the shape of an activity's `Details` is .NET's serialized exception.
"""

import json
from dataclasses import dataclass

MAX_CUSTOM_STATUS_KIB = 16

_CHANGED = "Was a change made to the orchestrator code after this instance had already started running?"
_EARLIER = "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled"
_COR_E_EXCEPTION = -2146233088  # .NET's HRESULT of a plain exception


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFailure:
    """An exception of user code, as the language worker reports it."""

    type_name: str
    message: str
    stack: str

    @property
    def headline(self) -> str:
        """`ValueError: boom`."""
        return f"{self.type_name}: {self.message}"

    @property
    def report(self) -> str:
        """The worker's whole report, as the host's RpcException carries it."""
        return f"Result: Failure\nException: {self.headline}\nStack: {self.stack}"


def activity_failed(name: str, failure: WorkerFailure) -> str:
    """The `Reason` of a failed activity."""
    return f"Activity function '{name}' failed: {failure.headline}"


def activity_details(failure: WorkerFailure) -> str:
    """The `Details` of a failed activity: a .NET exception around the worker's report."""
    inner = {
        "$type": "Microsoft.Azure.WebJobs.Script.Workers.Rpc.RpcException, Microsoft.Azure.WebJobs.Script",
        "IsUserException": False,
        "RemoteStackTrace": failure.stack,
        "RemoteMessage": failure.headline,
        "RemoteTypeName": None,
        "Message": failure.report,
        "Data": {"$type": "System.Collections.ListDictionaryInternal, System.Private.CoreLib"},
        "InnerException": None,
        "HelpLink": None,
        "Source": "local.host",
        "HResult": _COR_E_EXCEPTION,
        "StackTrace": "",
    }
    return compact(
        {
            "$type": "System.Exception, System.Private.CoreLib",
            "ClassName": "System.Exception",
            "Message": failure.headline,
            "Data": None,
            "InnerException": inner,
            "HelpURL": None,
            "StackTraceString": None,
            "RemoteStackTraceString": None,
            "RemoteStackIndex": 0,
            "ExceptionMethod": None,
            "HResult": _COR_E_EXCEPTION,
            "Source": None,
            "WatsonBuckets": None,
        }
    )


def orchestrator_failed(name: str, error: str) -> str:
    """The output of a failed instance, and the `Reason` its parent sees."""
    return f"Orchestrator function '{name}' failed: {error}"


def child_details(error: str) -> str:
    """The `Details` of a failed sub-orchestration."""
    return f"Message: {error}, StackTrace: "


def outside_the_protocol(failure: WorkerFailure) -> str:
    """The error of an orchestrator whose answer was no orchestrator state."""
    return f"One or more errors occurred. ({failure.report})"


def unknown_function(name: str, noun: str, known: tuple[str, ...]) -> str:
    """The error of a call or start by a name that nothing is registered under."""
    known_names = "'" + "', '".join(known) + "'." if known else ""
    info = (
        f"The following are the known {noun} functions: {known_names}"
        if known
        else f"No {noun} functions are currently registered!"
    )
    return (
        f"The function '{name}' doesn't exist, is disabled, or is not an {noun} function. "
        f"Additional info: {info}"
    )


def custom_status_too_large(size_kib: int) -> str:
    """The error of an orchestrator whose custom status exceeds the limit."""
    return (
        f"The UTF-16 size of the JSON-serialized payload must not exceed {MAX_CUSTOM_STATUS_KIB} KB. "
        f"The current payload size is {size_kib} KB."
    )


def already_exists(status: str) -> str:
    """The refusal of a start over an instance that is not over."""
    return f"An Orchestration instance with the status {status} already exists."


def never_scheduled(task: str, sequence: int, identity: str) -> str:
    """Non-determinism: history has a task that this replay did not reach."""
    position = f"sequence ID {sequence} and name {identity}," if identity else f"sequence number {sequence}"
    return (
        f"{_EARLIER} {_article(task)} {task} task with {position} but the current replay execution "
        f"hasn't (yet?) scheduled this task. {_CHANGED}"
    )


def other_kind(task: str, sequence: int, named: str, action: str) -> str:
    """Non-determinism: history has a task of another kind here; a timer has no name, nor a comma."""
    label = f"named '{named}'," if named else "named"
    return (
        f"{_EARLIER} {_article(task)} {task} task with sequence number {sequence} {label} but the current "
        f"orchestration replay instead produced a {action} action with this sequence number. {_CHANGED}"
    )


def other_name(task: str, sequence: int, recorded: str, scheduled: str) -> str:
    """Non-determinism: same position and kind, another function. The two spaces are the original's."""
    a_task = f"{_article(task)} {task} task"
    return (
        f"{_EARLIER} {a_task} with sequence number {sequence} named '{recorded}', but the current "
        f"orchestration replay instead scheduled {a_task} named '{scheduled}' with this "
        f"sequence number.  {_CHANGED}"
    )


def compact(value: object) -> str:
    """JSON as .NET writes it: no spaces, no escapes beyond the necessary."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
