"""The command line as people and programs use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from metaembed_rag import __version__
from metaembed_rag.cli import main


@pytest.fixture
def metaembed(monkeypatch, capsys, tmp_path):
    """Run a command in an empty folder; returns its exit code, what it printed, and what it complained about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("METAEMBED_INDEX", raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["metaembed", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "ferry.txt").write_text("The first ferry to Holm leaves at six in the morning.")
    (folder / "coffee.md").write_text("# Roasting\n\nBeans are roasted at 210 degrees for twelve minutes.\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    return folder


def test_index_search_info_and_delete_for_programs(metaembed, notes):
    code, out, err = metaembed("index", "notes", "--json")
    added = json.loads(out)
    assert (code, err, added["added"], len(added["ids"])) == (0, "", 2, 2)
    assert [entry["path"] for entry in added["skipped"]] == ["notes/broken.pdf"]

    code, out, _ = metaembed("search", "when does the boat leave?", "--budget", "4", "--top-k", "1", "--json")
    (hit,) = json.loads(out)
    assert (code, hit["source"], hit["page"], hit["budget"]) == (0, "notes/ferry.txt", 1, [4, 8])
    assert {"id", "score", "source", "page", "text", "metadata", "budget"} <= set(hit)
    assert hit["id"] in added["ids"]

    code, out, _ = metaembed("search", "when does the boat leave?", "--source", "notes/coffee.md", "--json")
    assert [hit["source"] for hit in json.loads(out)] == ["notes/coffee.md"]

    info = json.loads(metaembed("info", "--json")[1])
    assert (info["pages"], info["documents"], info["model"]) == (2, 2, "mini")
    assert info["bytes"] > 0

    assert json.loads(metaembed("delete", "notes/ferry.txt", "--json")[1])["pages"] == 1
    assert json.loads(metaembed("info", "--json")[1])["pages"] == 1


def test_index_and_search_for_people(metaembed, notes):
    code, out, _ = metaembed("index", "notes", "--index", "my.index")
    assert code == 0
    assert "2 pages added, 1 documents skipped" in out
    assert "broken.pdf" in out
    assert "1 documents skipped" in out
    code, out, _ = metaembed("index", "notes", "--index", "my.index")
    assert "0 pages added, 2 unchanged" in out
    code, out, _ = metaembed("search", "roasting", "--index", "my.index", "--budget", "full")
    assert code == 0
    assert "notes/coffee.md" in out
    assert "budget (16,64)" in out
    assert "pages" in metaembed("info", "--index", "my.index")[1]
    assert "1 pages of notes/coffee.md deleted" in metaembed("delete", "notes/coffee.md", "--index", "my.index")[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search", "x"], "no index at .metaembed; make one with: metaembed index"),
        (["info"], "no index at .metaembed"),
        (["index", "absent.pdf"], "absent.pdf: no such file or folder"),
        (["index", "notes/broken.pdf"], "broken.pdf"),
        (["index", "notes", "--ocr", "sometimes"], "pass 'auto', 'never' or 'always'"),
        (["index", "notes", "--model", "no/such-model"], "neither a packaged model"),
        (["demo"], "run the demo from the root of a clone"),
        (["train", "nothing", "--data", ".", "--output", "."], "no recipe 'nothing'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line_that_says_what_to_do(metaembed, notes, arguments, told):
    code, out, err = metaembed(*arguments)
    assert (code, out) == (1, "")
    assert told in err
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_a_bad_budget_names_the_ladder(metaembed, notes):
    metaembed("index", "notes")
    code, _, err = metaembed("search", "x", "--budget", "lots")
    assert code == 1
    assert "the ladder is (1,1), (2,4), (4,8), (8,16), (16,64)" in err


def test_an_index_that_cannot_be_opened_is_told(metaembed, notes):
    (notes.parent / "other").mkdir()
    (notes.parent / "other" / "file").write_text("mine")
    code, _, err = metaembed("search", "x", "--index", "other")
    assert code == 1
    assert "holds no index" in err


def test_an_index_gets_words_by_copying(metaembed, notes, tmp_path):
    plain, hybrid = tmp_path / "plain", tmp_path / "hybrid"
    metaembed("index", notes, "--index", plain)
    code, _, told = metaembed("search", "ferry", "--index", plain, "--hybrid")
    assert code == 1
    assert "metaembed copy SRC DST --hybrid" in " ".join(told.split())
    assert metaembed("copy", plain, hybrid, "--hybrid")[0] == 0
    assert "and by their words" in metaembed("search", "ferry", "--index", hybrid, "--explain")[1]
    assert "and by their words" not in metaembed("search", "ferry", "--index", hybrid, "--explain", "--no-hybrid")[1]
    assert metaembed("index", notes, "--index", plain, "--hybrid")[0] == 1


def test_version_and_module():
    done = subprocess.run(
        [sys.executable, "-m", "metaembed_rag.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == __version__


def test_importing_the_package_loads_neither_torch_nor_an_engine():
    script = (
        "import sys, metaembed_rag\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'qdrant_edge', 'qdrant_client', 'PIL'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_results_as_a_report_that_is_written_and_opened(metaembed, notes, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: not opened.append(address))
    metaembed("index", "notes")
    code, out, err = metaembed("search", "roasting", "--html", "report.html")
    assert (code, opened) == (0, [])
    assert "notes/coffee.md" in out
    assert "report: report.html" in err
    assert "<mark" in (notes.parent / "report.html").read_text(encoding="utf-8")
    metaembed("search", "roasting", "--html", "report.html", "--open")
    assert opened == [(notes.parent / "report.html").as_uri()]


def test_pictures_are_refused_where_there_is_no_terminal(metaembed, notes):
    code, out, err = metaembed("search", "roasting", "--pictures")
    assert (code, out) == (1, "")
    assert "--html FILE" in err


@pytest.mark.parametrize(("typed", "offered"), [("metaembed do", "doctor"), ("metaembed search --la", "--latency-ms")])
def test_shells_complete_commands_and_options(typed, offered):
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'metaembed'; from metaembed_rag.cli import main; main()"],
        env={
            **os.environ,
            "_METAEMBED_COMPLETE": "complete_bash",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(typed.count(" ")),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [offered]


def test_a_picture_that_cannot_be_drawn_is_refused_before_anything_is_measured(metaembed, tmp_path):
    code, out, err = metaembed("calibrate", "--index", tmp_path / "absent.index", "--plot", "front.yaml")
    assert (code, out) == (1, "")
    assert ".png, .svg, .pdf" in err


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_names_that_are_not_utf8_are_escaped_in_json(metaembed):
    strange = "strange\udcd3.index"
    code, out, _ = metaembed("doctor", "--index", strange, "--json")
    assert code == 1
    assert any(strange in " ".join(finding.values()) for finding in json.loads(out)["findings"])
