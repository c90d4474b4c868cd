"""Find the functions of a v2 app as the Python worker does, and refuse what is not served."""

import importlib
import inspect
import sys
import traceback
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import azure.functions as func

from local.host.config import resolve_settings
from local.host.protocol import texts
from local.host.protocol.replay import Registered


class IndexingError(Exception):
    """An app that this host cannot serve; the message names the function and the remedy."""


class Trigger(StrEnum):
    """The triggers that this host serves."""

    HTTP = "httpTrigger"
    ORCHESTRATION = "orchestrationTrigger"
    ACTIVITY = "activityTrigger"
    TIMER = "timerTrigger"


_SERVED_BINDINGS = {*Trigger, "http", "durableClient"}
_NOUNS = {Trigger.ORCHESTRATION: "orchestrator", Trigger.ACTIVITY: "activity"}
_NAME_KEYS = {Trigger.ORCHESTRATION: "orchestration", Trigger.ACTIVITY: "activity"}
_RETURN = "$return"
_UNIONS = (typing.Union, types.UnionType)
_EVERY_METHOD = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of the app; `call` is what the Durable decorators made of the user's code."""

    name: str
    trigger: Trigger
    trigger_name: str
    call: Callable[..., Any]
    parameters: frozenset[str]
    is_async: bool
    client_parameters: tuple[str, ...]
    binding: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpBinding:
    """Where an HTTP function is found, and who may call it."""

    route: str
    methods: tuple[str, ...]
    auth_level: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerBinding:
    """When a timer function runs."""

    schedule: str
    run_on_startup: bool


class App:
    """The functions of an app, by trigger and lower-cased name."""

    def __init__(self, root: Path, functions: list[Function]) -> None:
        """Names are case-insensitive, as on the real host."""
        self.root = root
        self.functions = tuple(functions)
        self._by_trigger: dict[Trigger, dict[str, Function]] = {trigger: {} for trigger in Trigger}
        for function in functions:
            self._by_trigger[function.trigger][_durable_name(function).lower()] = function
        self.registered = Registered(
            activities=frozenset(self._by_trigger[Trigger.ACTIVITY]),
            orchestrators=frozenset(self._by_trigger[Trigger.ORCHESTRATION]),
        )

    def find(self, trigger: Trigger, name: str) -> Function | None:
        """Give the function of that trigger and name."""
        return self._by_trigger[trigger].get(name.lower())

    def of(self, trigger: Trigger) -> tuple[Function, ...]:
        """Give all functions of a trigger."""
        return tuple(self._by_trigger[trigger].values())

    def unknown(self, trigger: Trigger, name: str) -> str:
        """Say that a name is not registered, in the real host's words."""
        known = tuple(_durable_name(function) for function in self.of(trigger))
        return texts.unknown_function(name, _NOUNS[trigger], known)


def load_app(root: Path) -> App:
    """Import `function_app` from `root` and index it."""
    _put_last_on_path(root)
    try:
        module = importlib.import_module("function_app")
    except (Exception, SystemExit) as error:
        raise IndexingError(_import_failure(error)) from error
    registers = {
        id(value): value for value in vars(module).values() if isinstance(value, func.FunctionRegister)
    }
    if len(registers) != 1:
        raise IndexingError(
            f"{root / 'function_app.py'} has {len(registers)} function apps at its top level; keep one"
        )
    (register,) = registers.values()
    try:
        functions = [_describe(built) for built in register.get_functions()]
    except ValueError as error:  # the SDK's own refusals, of two functions with one name for instance
        raise IndexingError(str(error)) from error
    if not functions:
        raise IndexingError(f"{root / 'function_app.py'} registers no functions")
    _refuse_namesakes(functions)
    return App(root, functions)


def http_binding(function: Function) -> HttpBinding:
    """Read an HTTP trigger; without methods it takes all, without a route its own name."""
    binding = function.binding
    methods = tuple(str(getattr(method, "value", method)).upper() for method in binding.methods or ())
    level = getattr(binding.auth_level, "value", binding.auth_level) or "function"
    return HttpBinding(
        route=binding.route if binding.route is not None else function.name,
        methods=methods or _EVERY_METHOD,
        auth_level=str(level).lower(),
    )


def timer_binding(function: Function) -> TimerBinding:
    """Read a timer trigger; `%NAME%` in the schedule is a setting."""
    return TimerBinding(
        schedule=resolve_settings(function.binding.schedule),
        run_on_startup=bool(function.binding.run_on_startup),
    )


def _put_last_on_path(root: Path) -> None:
    """Let the app find its own modules, after those of the packages, as the production worker does.

    The folder that this host was started from is not the app's business, and goes.
    """
    here = Path.cwd()
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    sys.path.append(str(root))


def _import_failure(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"importing function_app failed at {last.filename}:{last.lineno} in {last.name}: "
        f"{type(error).__name__}: {error}\n    {last.line}"
    )


def _describe(built: Any) -> Function:
    name, trigger, bindings = built.get_function_name(), built.get_trigger(), built.get_bindings()
    refused = sorted({binding.type for binding in bindings} - _SERVED_BINDINGS)
    if refused:
        raise IndexingError(
            f"function {name!r} uses {', '.join(refused)}, which this host does not serve; "
            f"it serves {', '.join(sorted(_SERVED_BINDINGS))}"
        )
    call = built.get_user_function()
    _compare_parameters(name, call, {binding.name for binding in bindings} - {_RETURN})
    return Function(
        name=name,
        trigger=Trigger(trigger.type),
        trigger_name=trigger.name,
        call=call,
        parameters=frozenset(inspect.signature(call).parameters),
        is_async=inspect.iscoroutinefunction(call),
        client_parameters=tuple(binding.name for binding in bindings if binding.type == "durableClient"),
        binding=trigger,
    )


def _compare_parameters(name: str, call: Callable[..., Any], bound: set[str]) -> None:
    """Refuse what the real worker does not load: it binds by name and reads the annotations."""
    parameters = set(inspect.signature(call).parameters)
    missing, unbound = bound - parameters, parameters - bound - {"context"}
    if missing:
        raise IndexingError(
            f"function {name!r} has no parameter {', '.join(sorted(missing))}, which is bound; add it"
        )
    if unbound:
        raise IndexingError(
            f"function {name!r} takes {', '.join(sorted(unbound))}, which nothing binds; "
            "name it in a decorator, or take it away"
        )
    try:
        hints = typing.get_type_hints(call)
    except NameError as error:
        raise IndexingError(
            f"function {name!r} has an annotation that cannot be read: {error}; import the name at run time"
        ) from error
    unions = sorted(each for each in bound & hints.keys() if typing.get_origin(hints[each]) in _UNIONS)
    if unions:
        raise IndexingError(
            f"function {name!r} annotates {', '.join(unions)} with a union, which the worker refuses; "
            "name one class"
        )


def _refuse_namesakes(functions: list[Function]) -> None:
    named: dict[tuple[Trigger, str], Function] = {}
    for function in functions:
        other = named.setdefault((function.trigger, _durable_name(function).lower()), function)
        if other is not function:
            raise IndexingError(
                f"functions {other.name!r} and {function.name!r} share the name "
                f"{_durable_name(function)!r}: names are case-insensitive; rename one"
            )


def _durable_name(function: Function) -> str:
    key = _NAME_KEYS.get(function.trigger)
    own = getattr(function.binding, key, None) if key else None
    return own or function.name
