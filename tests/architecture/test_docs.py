"""The docs are true: what they name exists, and what exists is named."""

import json
import re
from pathlib import Path

import pytest

from shared.domain.causes import REMEDIES, Kind
from shared.domain.judging import Outcome
from shared.domain.phases import Phase, Step
from shared.domain.refusals import Reason
from shared.domain.staging import MAX_MANIFEST_BYTES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
STATUS = (ROOT / "docs/status.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAX_README_LINES = 150
# The platform's own, explained where they stand in the sample file's neighbourhood, not ours to document.
PLATFORM = {
    "FUNCTIONS_WORKER_RUNTIME",
    "AzureWebJobsStorage__credential",
    "AZURE_FUNCTIONS_ENVIRONMENT",
    "AZURE_FUNCTIONS_DURABLE_STRICT_TYPING",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MAX_README_LINES


def test_every_setting_is_in_the_readme_and_every_one_there_exists() -> None:
    sample = set(json.loads((ROOT / "local.settings.sample.json").read_text())["Values"])
    table = README[README.index("| setting | default | means |") : README.index("## Where things are")]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", " ".join(cells)))

    assert sample - PLATFORM <= named
    assert named <= sample


def test_every_route_is_in_the_readme_and_every_one_there_exists() -> None:
    bound = {
        found
        for file in (ROOT / "entrypoints").glob("*.py")
        for found in re.findall(r'bind_(?:hub_)?door\(\s*\w+, "([^"]+)"', file.read_text())
    }
    table = README[README.index("| route | does |") : README.index("## Deploy")]

    assert bound == set(re.findall(r"`((?:GET|POST) [^`]+)`", table))


@pytest.mark.parametrize("kind", Kind)
def test_every_cause_is_explained_with_its_remedy(kind: Kind) -> None:
    row = next(line for line in STATUS.splitlines() if line.startswith(f"| `{kind.value}` |"))

    assert REMEDIES[kind] in row


@pytest.mark.parametrize("word", [*Reason, *Phase, *Step, *Outcome])
def test_every_word_that_a_status_uses_is_explained(word: str) -> None:
    assert f"`{word}`" in STATUS


def test_the_limit_of_a_manifest_is_the_real_one() -> None:
    assert f"exceeds {MAX_MANIFEST_BYTES // 1000} kB" in README


def test_every_make_target_that_the_docs_name_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`make ([a-z]+)", page.read_text())}

    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_layout_that_is_drawn_is_the_real_one() -> None:
    drawn = re.findall(r"^(\S+?)/?\s{2,}", (ROOT / "docs/architecture.md").read_text(), flags=re.MULTILINE)
    paths = [path for path in drawn if re.fullmatch(r"[a-z_/.]+", path)]

    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_folder_of_code_is_in_the_layout() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    folders = {file.parent.relative_to(ROOT).parts[0] for file in ROOT.glob("*/__init__.py")}

    assert {folder for folder in folders if f"{folder}/" not in page} == set()


def test_no_page_names_a_machine_path_or_a_registry_host() -> None:
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        assert not re.search(r"/work/|/root/|pypi\.org|registry\.npmjs|deb\.debian", page.read_text()), page
