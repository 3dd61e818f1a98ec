"""The training data script, from small public-format folders to pairs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from reportlab.pdfgen.canvas import Canvas

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "mini" / "prepare_data.py"
TOPICS = {
    "Tuning the mast stays": "the mast stands upright when both stays pull with the same force in calm wind",
    "Washing the sails": "salt is rinsed out of the sails with fresh water and they are dried in the shade",
    "Caring for the engine": "the oil of the engine is changed every hundred hours and the filter with it",
}
#: Of the trials that may be used, each with the one most alike.
DRUGS = {"zinc": "iron", "iron": "zinc", "salt": "mint", "mint": "salt"}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def _manual(path: Path) -> None:
    canvas = Canvas(str(path))
    for chapter, (title, fact) in enumerate(TOPICS.items(), start=1):
        canvas.drawString(50, 800, f"{chapter} {title}")
        for line in range(6):
            canvas.drawString(50, 760 - 40 * line, f"{fact.capitalize()} as step {'abcdef'[line]} of the manual says.")
            canvas.drawString(50, 740 - 40 * line, "It is good to do this with care and not in a hurry.")
        canvas.showPage()
    canvas.save()


def _descriptions(path: Path) -> None:
    long = "It reads the files of a user and writes all that it finds about {0} into one report. " * 3
    stanzas = [
        f"Package: {name}\nDescription-md5: 0\nDescription-en: tool for {what}\n"
        f" {long.format(what)}\n .\n {name} ends here.\n"
        for name, what in (
            ("aaa", "gardening"),
            ("bbb", "sailing"),
            ("ccc", "baking"),
            ("aaa-doc", "gardening"),
        )
    ]
    path.write_text("\n".join(stanzas) + "\nPackage: ddd\nDescription-en: short\n Too short.\n", encoding="utf-8")


def _pairs(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_source_gives_pairs_and_a_manifest(
    tmp_path: Path,
    wikitq: Path,
    tabfact: Path,
    tatqa: Path,
    fetaqa: Path,
    ottqa: tuple[Path, Path],
    medquad: Path,
    abstracts: Path,
    pubmedqa: Path,
) -> None:
    (tmp_path / "manuals" / "boats").mkdir(parents=True)
    _manual(tmp_path / "manuals" / "boats" / "boat.pdf")
    (tmp_path / "manuals" / "boats" / "broken.pdf").write_bytes(b"%PDF-1.4 not really")
    (tmp_path / "lists").mkdir()
    _descriptions(tmp_path / "lists" / "main_i18n_Translation-en")
    arguments = [
        "--manuals",
        str(tmp_path / "manuals"),
        "--debian-lists",
        str(tmp_path / "lists"),
        "--processes",
        "1",
    ]
    arguments += ["--wikitq", str(wikitq), "--tabfact", str(tabfact), "--tatqa", str(tatqa)]
    arguments += ["--fetaqa", str(fetaqa), "--medquad", str(medquad)]
    arguments += ["--ottqa", str(ottqa[0]), "--hybridqa", str(ottqa[1])]
    arguments += ["--abstracts", str(abstracts), "--pubmedqa", str(pubmedqa)]
    result = _run("--out", str(tmp_path / "out"), *arguments)
    assert result.returncode == 0, result.stderr
    assert "broken.pdf left out" in result.stderr
    assert "broken.xml left out" in result.stderr

    manifest = json.loads((tmp_path / "out" / "MANIFEST.json").read_text())
    assert set(manifest["sources"]) == {
        "abstracts", "debian", "fetaqa", "manuals", "medquad", "ottqa", "tabfact", "tatqa", "wikitq",
    }  # fmt: skip
    for name, entry in manifest["sources"].items():
        data = (tmp_path / "out" / f"{name}.jsonl").read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        pairs = _pairs(tmp_path / "out" / f"{name}.jsonl")
        assert entry["pairs"] == len(pairs) > 0
        for pair in pairs:
            assert set(pair) - {"document", "pages"} == {"query", "positive", "negative", "source"}
            assert pair["query"]
            assert pair["positive"] not in ("", pair["negative"])

    # Pages of manuals say where they stand: in what, then the positive's number and the negative's.
    assert {pair["document"] for pair in _pairs(tmp_path / "out" / "manuals.jsonl")} == {"boats/boat.pdf"}
    for pair in _pairs(tmp_path / "out" / "manuals.jsonl"):
        assert len(set(pair["pages"])) == (2 if pair["negative"] else 1)

    # Test tables, dev contexts, tables of test pages and false statements are never trained on.
    everything = "".join(
        (tmp_path / "out" / f"{name}.jsonl").read_text() for name in ("wikitq", "tatqa", "tabfact", "fetaqa", "ottqa")
    )
    for held_back in ("Lake Brenn", "Norrland", "312", "win no race"):
        assert held_back not in everything
    assert "win two race" in everything
    assert {pair["query"] for pair in _pairs(tmp_path / "out" / "fetaqa.jsonl")} == {
        "What came first for Anna Holm?", "What came first for Berit Lund?",
    }  # fmt: skip
    # Both ask about the same tables, in words without a tokenizer's spaces.
    assert {pair["query"] for pair in _pairs(tmp_path / "out" / "ottqa.jsonl")} == {
        question.format(name)
        for name in ("Anna Holm", "Berit Lund")
        for question in ("Where did {}'s coach, a teacher, live?", "Who beat {}?")
    }
    assert {pair["positive"] for pair in _pairs(tmp_path / "out" / "ottqa.jsonl")} == {
        "Anna Holm, Races. Year: 1999; Place: first (of two).", "Berit Lund, Races. Year: 2001; Place: first (of two).",
    }  # fmt: skip
    # An answer that its publisher took back is no pair.
    assert {pair["query"] for pair in _pairs(tmp_path / "out" / "medquad.jsonl")} == {
        f"What are the treatments for {name}?" for name in ("fever", "cough", "rash")
    }
    # An article that PubMedQA asks about is left out; a conclusion is asked for the rest.
    articles = _pairs(tmp_path / "out" / "abstracts.jsonl")
    assert {pair["query"] for pair in articles} == {
        query.format(name)
        for name in ("lithium", "clonidine", "aspirin")
        for query in ("Effects of {} on the heart", "In the end {} did no harm at all.")
    }
    assert not any(pair["query"] in pair["positive"] for pair in articles)
    # One program and its documentation package are one description, and short ones are left out.
    assert {pair["query"] for pair in _pairs(tmp_path / "out" / "debian.jsonl")} == {
        "tool for gardening", "tool for sailing", "tool for baking",
    }  # fmt: skip

    manuals = _pairs(tmp_path / "out" / "manuals.jsonl")
    kinds = {pair["source"] for pair in manuals}
    assert "manuals/sentence" in kinds
    assert kinds & {"manuals/question", "manuals/heading"}
    for pair in manuals:
        fact = next(fact for fact in TOPICS.values() if fact in pair["positive"].lower())
        assert pair["negative"] is None or fact not in pair["negative"].lower()

    again = _run("--out", str(tmp_path / "again"), *arguments, "--processes", "2")
    assert again.returncode == 0, again.stderr
    for name in manifest["sources"]:
        assert (tmp_path / "again" / f"{name}.jsonl").read_bytes() == (tmp_path / "out" / f"{name}.jsonl").read_bytes()


def test_filings_give_questions_with_every_page_that_answers(tmp_path: Path, filings: Path) -> None:
    arguments = ["--filings", str(filings), "--financebench", str(tmp_path / "financebench")]
    result = _run("--out", str(tmp_path / "out"), *arguments, "--processes", "1")
    assert result.returncode == 0, result.stderr
    assert "memo.html left out: it does not say" in result.stderr
    assert "hb/report.html left out: Harbour" in result.stderr

    pairs = _pairs(tmp_path / "out" / "filings.jsonl")
    assert {pair["document"] for pair in pairs} == {"nw/report.html"}
    everything = json.dumps(pairs)
    assert "Harbour" not in everything
    assert "never to be seen" not in everything
    assert any("Northwind Sails" in pair["query"] for pair in pairs)
    assert not any("NORTHWIND" in pair["query"] for pair in pairs)
    asked = {kind: [pair for pair in pairs if pair["source"] == f"filings/{kind}"] for kind in ("metric", "row")}
    # The statement of income is page 1, the balance sheet page 3, and the other one does not answer.
    by_words = {"gross margin": 1, "effective tax rate": 1, "inventory turnover": 3, "asset turnover": 3}
    for words, page in by_words.items():
        pair = next(pair for pair in asked["metric"] if words in pair["query"])
        assert page in pair["pages"]
        assert len(set(pair["pages"])) == 2
        assert ("Total assets" in pair["positive"]) == (page == 3)
        assert page == 1 or "Total assets" not in pair["negative"]
    # Cells of one row are a line, and a bracket or a sign stands by its figure.
    assert any("Revenue from sails $ (1,000) $ (2,000)" in pair["positive"] for pair in pairs)
    reasons = [pair for pair in pairs if pair["source"] == "filings/change"]
    assert reasons
    assert all("marketing costs" in pair["query"] and "boat show" in pair["positive"] for pair in reasons)
    topics = [pair for pair in pairs if pair["source"] == "filings/topic"]
    assert any("legal Proceedings of Summer" in pair["query"] for pair in topics)
    # What readers ask of a section does not say its heading again.
    sections = [pair for pair in pairs if pair["source"] == "filings/section"]
    assert sections
    assert all(2 in pair["pages"] for pair in sections)
    assert not any("proceedings" in pair["query"].lower() for pair in sections)
    assert all("sewing machines" in pair["positive"] for pair in sections)

    again = _run("--out", str(tmp_path / "again"), *arguments, "--processes", "2")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again" / "filings.jsonl").read_bytes() == (tmp_path / "out" / "filings.jsonl").read_bytes()


def test_trials_give_titles_conclusions_and_questions(tmp_path: Path, trials: Path, pubmedqa: Path) -> None:
    arguments = ["--trials", str(trials), "--pubmedqa", str(pubmedqa)]
    result = _run("--out", str(tmp_path / "out"), *arguments)
    assert result.returncode == 0, result.stderr
    assert "trials: 4 of 7 articles" in result.stderr
    pairs = _pairs(tmp_path / "out" / "trials.jsonl")
    # An article of PubMedQA is left out, and one whose own number is not known; a question lacking a part as well.
    asked = {
        kind: {pair["query"] for pair in pairs if pair["source"] == f"trials/{kind}"}
        for kind in ("title", "conclusion", "question")
    }
    assert asked["title"] == {f"A trial of {drug} in nurses" for drug in DRUGS}
    assert asked["conclusion"] == {f"A spoon of {drug} a day helps against poor sleep." for drug in DRUGS}
    assert len(asked["question"]) == 4
    assert all("sleep, in hours" in query and " pills" in query for query in asked["question"])
    for pair in pairs:
        drug = next(drug for drug in DRUGS if drug in pair["query"])
        assert f"took {drug}" in pair["positive"]
        assert f"took {DRUGS[drug]}" in pair["negative"]
        assert pair["query"] not in pair["positive"]
        assert "NCT" not in pair["positive"] + pair["negative"]
        assert "body of an article" not in pair["positive"]

    again = _run("--out", str(tmp_path / "again"), *arguments)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again" / "trials.jsonl").read_bytes() == (tmp_path / "out" / "trials.jsonl").read_bytes()


def test_prose_gives_questions_in_peoples_own_words(
    tmp_path: Path, qed: Path, selqa: Path, covidqa: Path, scitldr: Path, pubmedqa: Path
) -> None:
    arguments = ["--qed", str(qed), "--selqa", str(selqa), "--covidqa", str(covidqa), "--scitldr", str(scitldr)]
    arguments += ["--pubmedqa", str(pubmedqa)]
    result = _run("--out", str(tmp_path / "out"), *arguments)
    assert result.returncode == 0, result.stderr

    pairs = _pairs(tmp_path / "out" / "wikipedia.jsonl")
    asked = {pair["query"].lower().rstrip("?"): pair for pair in pairs}
    # Only the training part of QED; a paragraph that says next to nothing is left out.
    assert set(asked) == {
        "when was the tower of brenn built", "whose seat was the tower of brenn", "when is the mill of brenn open",
        "who sells tickets at the harbour of brenn", "who sells tickets at the market of brenn",
    }  # fmt: skip
    tower = asked["when was the tower of brenn built"]
    written = 'The tower of Brenn (built in 1412), a ruler\'s seat, is a well-known "ruin" of the north. The tower'
    assert tower["positive"].removeprefix("Tower of Brenn\n").startswith(written)
    assert "tower" not in (tower["negative"] or "")
    assert "wardens sell tickets" in asked["who sells tickets at the market of brenn"]["positive"]

    pairs = _pairs(tmp_path / "out" / "articles.jsonl")
    assert "one left out" in result.stderr
    assert [pair["query"] for pair in pairs] == [f"Where was strain {name} found?" for name in "ABCDE"]
    for pair, name in zip(pairs, "ABCDE", strict=True):
        assert f"Strain {name} of the virus" in pair["positive"]
        assert pair["document"] == "article-0"
        assert pair["negative"] != pair["positive"]
    assert [pair["pages"] for pair in pairs] == sorted(pair["pages"] for pair in pairs)

    pairs = _pairs(tmp_path / "out" / "papers.jsonl")
    for what in ("pruning", "dropout", "masking"):
        asked = {pair["query"] for pair in pairs if f"We study {what} of" in pair["positive"]}
        assert asked == {f"Networks that use {what} are faster.", f"On the use of {what} in networks"}

    again = _run("--out", str(tmp_path / "again"), *arguments)
    assert again.returncode == 0, again.stderr
    for name in ("wikipedia", "articles", "papers"):
        assert (tmp_path / "again" / f"{name}.jsonl").read_bytes() == (tmp_path / "out" / f"{name}.jsonl").read_bytes()


def test_stories_give_questions_with_the_section_that_answers(tmp_path: Path, fairytaleqa: Path) -> None:
    result = _run("--out", str(tmp_path / "out"), "--fairytaleqa", str(fairytaleqa))
    assert result.returncode == 0, result.stderr
    pairs = _pairs(tmp_path / "out" / "stories.jsonl")
    assert [pair["pages"] for pair in pairs] == [[1], [2], [3], [4]], "neither two sections nor the test part"
    beasts = ("fox", "hare", "bear", "wolf")
    for place, (pair, beast) in enumerate(zip(pairs, beasts, strict=True)):
        assert pair["query"] == f"What did the {beast} get?"
        assert pair["positive"].removeprefix("The old mill\n").startswith(f"The {beast} came")
        assert pair["document"] == "the-old-mill"
        assert not any(neighbour in pair["negative"] for neighbour in beasts[max(place - 1, 0) : place + 2])


def test_statements_without_their_answer_are_asked_for(tmp_path: Path, qed: Path, fairytaleqa: Path) -> None:
    arguments = ["--qed", str(qed), "--fairytaleqa", str(fairytaleqa)]
    result = _run("--out", str(tmp_path / "out"), *arguments)
    assert result.returncode == 0, result.stderr
    passages = {
        pair["positive"]: pair
        for name in ("wikipedia", "stories")
        for pair in _pairs(tmp_path / "out" / f"{name}.jsonl")
    }
    pairs = _pairs(tmp_path / "out" / "details.jsonl")
    assert pairs
    assert len({pair["positive"] for pair in pairs}) == len(pairs), "one a passage"
    for pair in pairs:
        source = passages[pair["positive"]]
        assert pair["source"] == f"details/{source['source'].split('/')[0]}"
        assert (pair["negative"], pair.get("pages")) == (source["negative"], source.get("pages"))
        # A question word, then words of one statement.
        asked = pair["query"].rstrip("?").split()
        assert 5 <= len(asked) <= 15
        told = " ".join(pair["positive"].split())
        assert sum(word.strip(" ,;:.") in told for word in asked) >= len(asked) - 3
    again = _run("--out", str(tmp_path / "again"), *arguments)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again" / "details.jsonl").read_bytes() == (tmp_path / "out" / "details.jsonl").read_bytes()


def test_details_are_what_a_sentence_says_besides_a_name_or_number() -> None:
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        from sources.details import read_details
        from sources.pair import Pair
    finally:
        sys.path.remove(str(SCRIPT.parent))
    first = "The bridge of Holm is a landmark of the town and of the whole bay around it."
    text = f"{first} It was built of red granite by the mason Anna Holt between the harbour and the hill."
    (pair,) = read_details([Pair("what is the bridge of Holm", text, None, "wikipedia/search")], seed=3)
    assert "Anna Holt" not in pair.query, "the answer is left out"
    assert pair.query.split()[0] in ("who", "which", "what")
    assert "mason" in pair.query
    assert "landmark" not in pair.query, "the first sentence says what a passage is about"
    assert read_details([Pair("what is the bridge of Holm", first, None, "wikipedia/search")], seed=3) == []


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    assert "no source given" in _run("--out", str(tmp_path / "out")).stderr
    result = _run("--out", str(tmp_path / "out"), "--debian-lists", str(tmp_path))
    assert result.returncode != 0
    assert "apt-get update" in result.stderr
    for source in ("--abstracts", "--trials", "--covidqa"):
        assert "need --pubmedqa" in _run("--out", str(tmp_path / "out"), source, str(tmp_path)).stderr
    for source, missing in (
        ("--qed", "no *train*.jsonlines"),
        ("--selqa", "is missing"),
        ("--scitldr", "is missing"),
        ("--fairytaleqa", "no questions"),
    ):
        assert missing in _run("--out", str(tmp_path / "out"), source, str(tmp_path)).stderr
    assert "needs --financebench" in _run("--out", str(tmp_path / "out"), "--filings", str(tmp_path)).stderr
