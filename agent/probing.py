"""BLAST's own opinion, where BLAST is installed: an extra, never a proof.

`blastdbcmd -info` opens a database whose volumes are truncated without a word, so it cannot verify one. What
it does see is a folder at the source that mixes two generations, which no list of sizes can show. It is asked
before anything is published, in a private folder of links.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import Damaged, quoted
from .programs import ask
from .surveying import stat_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .manifest import Manifest
    from .places import Places

# Opening core_nt reads the indexes of 88 volumes; on a cold managed disk that has taken seconds.
TIMEOUT_SECONDS = 60
WAYS_IN = (".nal", ".pal", ".nin", ".pin")
MIXED = "does not match lmdb vol"


def probe(manifest: Manifest, places: Places, log: Callable[[str], None]) -> None:
    """Let BLAST open the database as it will be published.

    Raises:
        Damaged: its volumes are of different generations.
    """
    program = shutil.which("blastdbcmd")
    names = {file.name for file in manifest.files}
    if program is None or not any(manifest.database + suffix in names for suffix in WAYS_IN):
        return
    with _gathered(names, places) as folder:
        database = str(folder / manifest.database)
        command = [program, "-info", "-db", database, "-dbtype", manifest.molecule]
        try:
            answer = ask(command, TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            log(f"blastdbcmd -info did not answer within {TIMEOUT_SECONDS} s")
            return
    said = quoted(answer.stderr)
    if MIXED in said:
        raise Damaged(
            f"{manifest.database} mixes two generations: {said}",
            remedy="stage the database again from one release, then start the warm-up again",
        )
    log(f"blastdbcmd -info ended with {answer.returncode}{': ' + said if answer.returncode else ''}")


@contextmanager
def _gathered(names: set[str], places: Places) -> Iterator[Path]:
    """A folder in which everything lies together, wherever it is now."""
    folder = places.private / "probing"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        for name in names:
            staged = places.staged(name)
            (folder / name).symlink_to(staged if stat_of(staged) else places.published(name))
        yield folder
    finally:
        shutil.rmtree(folder)
