"""The shape of the code: charters, sizes, names, and what a story and the composition root may hold."""

import ast
import importlib.metadata
import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from testkit.worker import REPOSITORY

from orchestrators import warm_databases

PRODUCT = ("orchestrators", "activities", "entrypoints", "shared", "agent")
PACKAGES = (*PRODUCT, "local")
NAMELESS = {"util", "utils", "helper", "helpers", "common", "manager", "misc"}
CHARTER_CHARACTERS = 20
CLOCKS_AND_CHANCE = {
    "time",
    "random",
    "uuid",
    "secrets",
    "os",
    "logging",
    "threading",
    "asyncio",
    "socket",
    "pathlib",
}


def sources(*packages: str) -> dict[str, Path]:
    """Every module of ours in these packages, by its path in the repository."""
    found = sorted(path for name in packages for path in (REPOSITORY / name).rglob("*.py"))
    return {str(path.relative_to(REPOSITORY)): path for path in found if "node_modules" not in path.parts}


MODULES = {**sources(*PACKAGES), "function_app.py": REPOSITORY / "function_app.py"}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """The full names that a module imports from elsewhere."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_each_module_has_a_charter() -> None:
    charters = {name: ast.get_docstring(parse(path)) or "" for name, path in MODULES.items()}

    assert [name for name, charter in charters.items() if len(charter) < CHARTER_CHARACTERS] == []


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}

    assert [name for name, length in lengths.items() if length > 400] == []


def test_no_function_is_longer_than_forty_five_lines() -> None:
    assert [
        f"{name}: {f.name}" for name, path in MODULES.items() for f in functions(path) if lines(f) > 45
    ] == []


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


def test_nothing_is_named_after_its_having_no_name() -> None:
    words = {name: set(re.split(r"[/_.]", name)) for name in [*MODULES, *sources("tests")]}

    assert [name for name, said in words.items() if said & NAMELESS] == []


def test_function_app_only_composes() -> None:
    """Imports, assignments and calls; a loop over doors that only registers them."""
    path = REPOSITORY / "function_app.py"

    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
    assert [ast.unparse(node) for node in parse(path).body if not _composes(node)] == []


def _composes(node: ast.stmt) -> bool:
    if isinstance(node, ast.For):
        return (
            isinstance(node.iter, ast.Call)
            and all(_composes(inner) for inner in node.body)
            and not node.orelse
        )
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return text or call or isinstance(node, ast.Import | ast.ImportFrom | ast.Assign)


def test_a_story_is_a_generator_and_asks_no_clock_and_no_chance() -> None:
    tale = [
        f
        for _, f in inspect.getmembers(warm_databases, inspect.isfunction)
        if f.__module__ == warm_databases.__name__
    ]

    assert tale
    assert [f.__name__ for f in tale if not inspect.isgeneratorfunction(f)] == []
    for path in sources("orchestrators").values():
        assert {name.partition(".")[0] for name in imported(path)} & CLOCKS_AND_CHANCE == set()


def test_only_the_steps_call_activities() -> None:
    callers = [
        name
        for name, path in sources(*PRODUCT).items()
        if "call_activity" in path.read_text(encoding="utf-8")
    ]

    assert callers == ["orchestrators/steps.py"]


@pytest.mark.parametrize("package", [*PACKAGES, "function_app"])
def test_own_packages_are_the_ones_imported(package: str) -> None:
    """The app's folder comes last on a worker's path: a dependency of the same name would win."""
    spec = importlib.util.find_spec(package)

    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(REPOSITORY)
    assert ".venv" not in spec.origin
    assert package not in importlib.metadata.packages_distributions()


def test_the_agent_needs_nothing_but_the_standard_library() -> None:
    foreign = {
        (module, name)
        for module, path in sources("agent").items()
        for name in imported(path)
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "agent"}
    }

    assert foreign == set()


def test_the_agent_runs_on_python_3_10() -> None:
    """That is what the image of ElasticBLAST has."""
    vermin = Path(sys.executable).with_name("vermin")
    done = subprocess.run(
        [vermin, "--quiet", "--no-tips", "--target=3.10-", "--violations", "agent"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
