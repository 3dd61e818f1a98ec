"""The figures of the README and the card are those that were measured, of the weights that are shipped."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from metaembed_rag import MetaEmbed

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "mini" / "tables.py"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tables", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reports(tables):
    return {
        name: json.loads((tables.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("ladder", "storage", "capacity", "scanned")
    }


def test_the_figures_are_of_the_shipped_weights(reports):
    fingerprint = MetaEmbed.from_pretrained("mini").fingerprint
    assert {report["fingerprint"] for report in reports.values()} == {fingerprint}


def test_readme_and_card_show_what_was_measured(tables, reports):
    assert tables.short(reports["ladder"]) in tables.README.read_text(encoding="utf-8")
    card = tables.CARD.read_text(encoding="utf-8")
    assert tables.full(reports["ladder"]) in card
    assert tables.bytes_a_page(reports["storage"]) in card
    assert tables.scanned(reports["scanned"]) in card


def test_a_block_is_rewritten_and_a_missing_one_is_told(tables, tmp_path):
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- ladder -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    tables._write(path, {"ladder": "new \\1"})
    assert path.read_text(encoding="utf-8") == "before\n<!-- ladder -->\nnew \\1\n<!-- end -->\nafter\n"
    with pytest.raises(SystemExit, match="no block <!-- storage -->"):
        tables._write(path, {"storage": "x"})
