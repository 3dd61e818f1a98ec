"""Development benchmarks from local clones: queries, documents, and which document answers which query."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metaembed_rag.errors import InputError
from metaembed_rag.evaluation.tables import (
    linearise,
    read_tatqa_context,
    read_wikitq_table,
    read_wikitq_titles,
)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A retrieval task.

    Attributes:
        name: what tables call it.
        queries: text of each query, by id.
        documents: text of each document, by id.
        relevant: for each query id, the grade of each document that answers it.

    Raises:
        InputError: there are no queries, a text is blank, or a query has no existing relevant document.
    """

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, float]]

    def __post_init__(self) -> None:
        if not self.queries or not self.documents:
            raise InputError(f"benchmark {self.name}: no queries or no documents; is the folder complete?")
        for kind, texts in (("query", self.queries), ("document", self.documents)):
            blank = next((key for key, text in texts.items() if not text.strip()), None)
            if blank is not None:
                raise InputError(f"benchmark {self.name}: {kind} {blank} has no text")
        for query in self.queries:
            grades = self.relevant.get(query, {})
            unknown = next((document for document in grades if document not in self.documents), None)
            if unknown is not None:
                raise InputError(f"benchmark {self.name}: query {query} names document {unknown}, which is missing")
            if not any(grade > 0 for grade in grades.values()):
                raise InputError(f"benchmark {self.name}: query {query} has no relevant document")
        stray = next((query for query in self.relevant if query not in self.queries), None)
        if stray is not None:
            raise InputError(f"benchmark {self.name}: judgements for query {stray}, which is missing")

    def only(self, queries: Iterable[str]) -> Benchmark:
        """These of its queries, by id, against all documents."""
        kept = list(queries)
        return replace(
            self,
            queries={query: self.queries[query] for query in kept},
            relevant={query: self.relevant[query] for query in kept},
        )


def read_pubmedqa(folder: Path) -> Benchmark:
    """PubMedQA (Jin et al. 2019), the labelled part: 1,000 questions -> the abstract, without its conclusion.

    Args:
        folder: a clone of pubmedqa/pubmedqa.

    Raises:
        InputError: a file is missing or malformed.
    """
    path = folder / "data" / "ori_pqal.json"
    entries = _json(path, "pubmedqa/pubmedqa")
    if not isinstance(entries, dict):
        raise InputError(f"{path}: expected an object keyed by article number")
    with _Malformed(path):
        return _one_to_one(
            "pubmedqa",
            ((number, entry["QUESTION"], number, " ".join(entry["CONTEXTS"])) for number, entry in entries.items()),
        )


def read_wikitq(folder: Path) -> Benchmark:
    """WikiTableQuestions (Pasupat and Liang 2015), test: 4,344 questions -> their table among 421.

    Args:
        folder: a clone of ppasupat/WikiTableQuestions.

    Raises:
        InputError: a file is missing or malformed.
    """
    path = folder / "data" / "pristine-unseen-tables.tsv"
    lines = _text(path, "ppasupat/WikiTableQuestions").splitlines()
    titles = read_wikitq_titles(folder)
    with _Malformed(path):
        columns = lines[0].split("\t")
        rows = [dict(zip(columns, line.split("\t"), strict=True)) for line in lines[1:] if line]
        names = sorted({row["context"] for row in rows})
        tables = {name: linearise(titles.get(name, ""), read_wikitq_table(folder, name)) for name in names}
        return _one_to_one(
            "wikitq", ((row["id"], row["utterance"], row["context"], tables[row["context"]]) for row in rows)
        )


def read_tatqa(folder: Path) -> Benchmark:
    """TAT-QA (Zhu et al. 2021), dev: questions about financial reports -> their paragraphs and table.

    Args:
        folder: a clone of NExTplusplus/TAT-QA.

    Raises:
        InputError: a file is missing or malformed.
    """
    path = folder / "dataset_raw" / "tatqa_dataset_dev.json"
    contexts = _json(path, "NExTplusplus/TAT-QA")
    with _Malformed(path):
        return _one_to_one(
            "tatqa",
            (
                (question["uid"], question["question"], context["table"]["uid"], read_tatqa_context(context))
                for context in contexts
                for question in context["questions"]
            ),
        )


def read_qed(folder: Path) -> Benchmark:
    """QED (Lamm et al. 2021), dev: 1,355 questions of Natural Questions -> their paragraph of Wikipedia.

    Args:
        folder: a clone of google-research-datasets/QED.

    Raises:
        InputError: the file is missing or malformed.
    """
    path = folder / "qed-dev.jsonlines"
    lines = _text(path, "google-research-datasets/QED").splitlines()
    with _Malformed(path):
        rows = [_parsed(path, line) for line in lines if line.strip()]
        return _one_to_one(
            "qed",
            ((number := str(row["example_id"]), row["question_text"], number, row["paragraph_text"]) for row in rows),
        )


def read_fairytaleqa(folder: Path) -> Benchmark:
    """FairytaleQA (Xu et al. 2022), validation and test: questions asked with a section of a fairy tale in view.

    A document is a section behind its story's title. Questions about more than one section are left out.

    Args:
        folder: a clone of uci-soe/FairytaleQAData.

    Raises:
        InputError: there are no stories, or a file is missing or malformed.
    """
    split = folder / "data-by-train-split"
    queries: dict[str, str] = {}
    documents: dict[str, str] = {}
    relevant: dict[str, dict[str, float]] = {}
    for part in ("val", "test"):
        for path in sorted((split / "questions" / part).glob("*-questions.csv")):
            name = path.name.removesuffix("-questions.csv")
            title = name.replace("-", " ").capitalize()
            for section, text in _columns(split / "section-stories" / part / f"{name}-story.csv", "section", "text"):
                documents[f"{name}/{section}"] = f"{title}\n{text}"
            for number, section, question in _columns(path, "question_id", "cor_section", "question"):
                if section.isdigit():
                    queries[f"{name}/{number}"] = question
                    relevant[f"{name}/{number}"] = {f"{name}/{section}": 1.0}
    if not queries:
        raise InputError(f"{split} holds no stories: clone uci-soe/FairytaleQAData and pass its folder")
    return Benchmark("fairytaleqa", queries, documents, relevant)


READERS: dict[str, Callable[[Path], Benchmark]] = {
    "pubmedqa": read_pubmedqa,
    "wikitq": read_wikitq,
    "tatqa": read_tatqa,
    "qed": read_qed,
    "fairytaleqa": read_fairytaleqa,
}


def read_benchmark(name: str, folder: str | Path) -> Benchmark:
    """Read a benchmark by name.

    Args:
        name: a key of ``READERS``.
        folder: the local clone.

    Raises:
        InputError: no such benchmark or folder, or a file in it is missing or malformed.
    """
    if name not in READERS:
        raise InputError(f"no benchmark is called {name!r}; there are {', '.join(sorted(READERS))}")
    if not Path(folder).is_dir():
        raise InputError(f"benchmark {name}: {folder} is not a folder; pass a local clone")
    return READERS[name](Path(folder))


def _one_to_one(name: str, rows: Iterable[tuple[str, str, str, str]]) -> Benchmark:
    """From (query id, query, document id, document); documents of the same text become one."""
    queries: dict[str, str] = {}
    documents: dict[str, str] = {}
    owner: dict[str, str] = {}
    relevant: dict[str, dict[str, float]] = {}
    for query, question, document, text in rows:
        if query in queries:
            raise InputError(f"benchmark {name}: query id {query} occurs twice")
        kept = owner.setdefault(text, document)
        if documents.setdefault(kept, text) != text:
            raise InputError(f"benchmark {name}: document id {kept} stands for two texts")
        queries[query] = question
        relevant[query] = {kept: 1.0}
    return Benchmark(name, queries, documents, relevant)


def _text(path: Path, repository: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: clone {repository} and pass its folder") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error}") from error


def _columns(path: Path, *names: str) -> list[list[str]]:
    """These columns of a file of comma-separated values, a list a row, blanks squeezed."""
    rows = csv.DictReader(_text(path, "uci-soe/FairytaleQAData").splitlines(keepends=True))
    with _Malformed(path):
        return [[" ".join(row[name].split()) for name in names] for row in rows]


def _json(path: Path, repository: str) -> Any:
    return _parsed(path, _text(path, repository))


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        pointer = " (a large-file pointer: run git lfs pull)" if text.startswith("version https://git-lfs") else ""
        raise InputError(f"{path} is not JSON{pointer}: {error}") from error


class _Malformed:
    """Turns a missing field or an odd shape into an InputError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, (KeyError, IndexError, TypeError, AttributeError, csv.Error)) or type(error) is ValueError:
            raise InputError(f"{self.path} is not in its published format: {error!r}") from error
