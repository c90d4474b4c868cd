from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from local.databases import Sequence, translate
from local.taxonomy import TAXA, write_taxonomy

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("bases", "protein"),
    [("", ""), ("AT", ""), ("ATG", "M"), ("ATGTAA", "M*"), ("NNNTGGC", "XW"), ("ACGTTTGGG", "TFG")],
)
def test_the_first_frame_is_translated(bases: str, protein: str) -> None:
    assert translate(bases) == protein


def test_a_sequence_is_archaeal_where_its_title_says_so() -> None:
    assert Sequence(number=1, title="uncultured archaeon clone 7", bases="A").is_archaeal
    assert not Sequence(number=2, title="Escherichia coli", bases="A").is_archaeal
    assert Sequence(number=12, title="", bases="A").accession == "RR000012.1"


def test_the_taxonomy_index_points_at_each_taxons_line(tmp_path: Path) -> None:
    write_taxonomy(tmp_path)

    index, names = (tmp_path / "taxdb.bti").read_bytes(), (tmp_path / "taxdb.btd").read_bytes()
    magic, count = struct.unpack(">2I", index[:8])
    entries = [struct.unpack(">2I", index[24 + 8 * each : 32 + 8 * each]) for each in range(count)]
    assert magic == 0x8739
    found = {taxid: names[offset:].partition(b"\t")[0].decode() for taxid, offset in entries}
    assert found == {taxon.id: taxon.scientific_name for taxon in TAXA}


def test_the_taxonomy_tree_ends_at_the_root(tmp_path: Path) -> None:
    write_taxonomy(tmp_path)

    with closing(sqlite3.connect(tmp_path / "taxonomy4blast.sqlite3")) as tree:
        assert dict(tree.execute("SELECT taxid, parent FROM TaxidInfo")) == {1: 1, 131567: 1, 2157: 131567}
