"""BLAST's own opinion, where BLAST is installed: an extra, never a proof.

`blastdbcmd -info` opens a database whose volumes are truncated without a word, so it cannot verify one. What
it does see is a folder at the source that mixes two generations, which no list of sizes can show.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from .errors import Damaged, quoted
from .programs import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from .manifest import Manifest
    from .places import Places

# Opening core_nt reads the indexes of 88 volumes; on a cold managed disk that has taken seconds.
TIMEOUT_SECONDS = 60
WAYS_IN = (".nal", ".pal", ".nin", ".pin")
MIXED = "does not match lmdb vol"


def probe(manifest: Manifest, places: Places, log: Callable[[str], None]) -> None:
    """Let BLAST open the database.

    Raises:
        Damaged: its volumes are of different generations.
    """
    program = shutil.which("blastdbcmd")
    names = {file.name for file in manifest.files}
    if program is None or not any(manifest.database + suffix in names for suffix in WAYS_IN):
        return
    command = [
        program,
        "-info",
        "-db",
        str(places.published(manifest.database)),
        "-dbtype",
        manifest.molecule,
    ]
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
