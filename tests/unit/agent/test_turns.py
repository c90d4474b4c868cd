"""In which order blocks are fetched."""

from __future__ import annotations

from agent.ledger import BLOCK_BYTES
from agent.manifest import File
from agent.ranged import in_turns


def file(name: str, blocks: int) -> File:
    size = blocks * BLOCK_BYTES
    return File(name=name, blob=name, size=size, etag="0x1", md5=None, modified=0.0, shared=False)


def test_neighbours_write_to_different_files_and_each_block_has_one_turn() -> None:
    turns = in_turns([file("a", 2), file("b", 1), file("empty", 0), file("c", 2), file("d", 1)], abreast=3)

    assert [(block.file.name, block.index) for block in turns] == [
        *(("a", 0), ("b", 0), ("a", 1)),
        *(("c", 0), ("d", 0), ("c", 1)),
    ]
