"""Questions and statements about tables: WikiTableQuestions, TabFact, FeTaQA, OTT-QA, HybridQA and TAT-QA, read from
clones."""

from __future__ import annotations

import csv
import json
import logging
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metaembed_rag.evaluation.tables import (
    linearise,
    read_tatqa_context,
    read_wikitq_table,
    read_wikitq_titles,
)
from sources.pair import Pair, clip, similar, squeeze, unique

logger = logging.getLogger(__name__)
LONGEST = 2500
#: Spaces that a tokenizer put into a text.
_SPLIT = re.compile(r" (?=[,.?!;:)%]|'(?:s|re|ve|ll|d|m)\b|n't\b)|(?<=[($]) ")


def read_wikitq(clone: Path, seed: int) -> list[Pair]:
    """Training questions of WikiTableQuestions -> the table; a negative has alike headers and title."""
    titles = read_wikitq_titles(clone)
    with (clone / "data" / "training.tsv").open(encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    names = sorted({row[2] for row in rows})
    tables = [read_wikitq_table(clone, name) for name in names]
    texts = [clip(linearise(titles.get(name, ""), table), LONGEST) for name, table in zip(names, tables, strict=True)]
    profiles = [_profile(titles.get(name, ""), table) for name, table in zip(names, tables, strict=True)]
    negatives = _several(profiles, texts, random.Random(seed))
    place = {name: number for number, name in enumerate(names)}
    return _pairs(((row[1], place[row[2]]) for row in rows), texts, negatives, seed, "wikitq/question")


def read_tabfact(clone: Path, seed: int, *, without_titles: frozenset[str] = frozenset()) -> list[Pair]:
    """True statements of TabFact -> the table.

    Args:
        without_titles: lower-case page titles whose tables are left out, so that no table of an evaluation
            set is trained on.
    """
    statements: list[tuple[str, str]] = []
    titles: dict[str, str] = {}
    for part in ("train_examples", "val_examples", "test_examples"):
        path = clone / "tokenized_data" / f"{part}.json"
        if not _at_hand(path):
            logger.warning("%s is missing (or a large-file pointer); its statements are not used", path)
            continue
        for name, (texts_here, labels, title) in json.loads(path.read_text(encoding="utf-8")).items():
            if title.lower() in without_titles:
                continue
            titles[name] = "" if title == "none" else squeeze(title)
            statements += [(text, name) for text, label in zip(texts_here, labels, strict=True) if label == 1]
    names = sorted(titles)
    tables = []
    for name in names:
        with (clone / "data" / "all_csv" / name).open(encoding="utf-8") as file:
            tables.append([row for row in csv.reader(file, delimiter="#", quoting=csv.QUOTE_NONE) if row])
    texts = [clip(linearise(titles[name], table), LONGEST) for name, table in zip(names, tables, strict=True)]
    profiles = [_profile(titles[name], table) for name, table in zip(names, tables, strict=True)]
    negatives = _several(profiles, texts, random.Random(seed))
    place = {name: number for number, name in enumerate(names)}
    return _pairs(((text, place[name]) for text, name in statements), texts, negatives, seed, "tabfact/statement")


def read_fetaqa(clone: Path, seed: int, *, without_titles: frozenset[str] = frozenset()) -> list[Pair]:
    """FeTaQA's free-form questions -> the table under its page's title, from the splits that the clone holds.

    Args:
        without_titles: as for ``read_tabfact``.
    """
    entries: dict[str, list[str]] = {}
    for path in sorted((clone / "data").glob("fetaQA-v1_*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            # Each file opens with a line that says which version of the data it is.
            if "table_array" in row and row["table_page_title"].lower() not in without_titles:
                title = f"{row['table_page_title']}, {row['table_section_title']}"
                text = clip(linearise(title, row["table_array"]), LONGEST)
                entries.setdefault(text, []).append(row["question"])
    return _asked(entries, seed, "fetaqa/question")


def read_ottqa(clone: Path, hybridqa: Path, seed: int, *, without_titles: frozenset[str] = frozenset()) -> list[Pair]:
    """Questions of OTT-QA and HybridQA, which need a table and texts that it links to -> the table.

    HybridQA asks about the same tables; of either the splits that a clone holds are read.

    Args:
        without_titles: as for ``read_tabfact``.
    """
    tables = clone / "data" / "traindev_tables_tok"
    asked: dict[str, list[str]] = {}
    for path in sorted(
        folder / "released_data" / f"{part}.json" for folder in (clone, hybridqa) for part in ("train", "dev", "test")
    ):
        if not _at_hand(path):
            logger.warning("%s is missing; its questions are not used", path)
            continue
        for row in json.loads(path.read_text(encoding="utf-8")):
            if (tables / f"{row['table_id']}.json").is_file():
                asked.setdefault(row["table_id"], []).append(_SPLIT.sub("", row["question"]))
    entries: dict[str, list[str]] = {}
    for name in sorted(asked):
        content = json.loads((tables / f"{name}.json").read_text(encoding="utf-8"))
        if content["title"].lower() in without_titles:
            continue
        table = [[_SPLIT.sub("", cell) for cell, _ in row] for row in (content["header"], *content["data"])]
        title = _SPLIT.sub("", f"{content['title']}, {content['section_title']}".rstrip(", "))
        text = clip(linearise(title, table), LONGEST)
        entries.setdefault(text, []).extend(asked[name])
    return _asked(entries, seed, "ottqa/question")


def read_tatqa(clone: Path, seed: int) -> list[Pair]:
    """TAT-QA questions -> their context; the training split, or where the clone lacks it the test split.

    The dev split is never read: it is a development benchmark.
    """
    path = clone / "dataset_raw" / "tatqa_dataset_train.json"
    if not _at_hand(path):
        logger.warning("%s is missing; the test split with gold answers is used instead", path)
        path = path.with_name("tatqa_dataset_test_gold.json")
    contexts: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    texts = [clip(read_tatqa_context(context), LONGEST) for context in contexts]
    negatives = _several(texts, texts, random.Random(seed))
    questions = ((question["question"], n) for n, context in enumerate(contexts) for question in context["questions"])
    return _pairs(questions, texts, negatives, seed, "tatqa/question")


def _at_hand(path: Path) -> bool:
    """Whether a file is there, and no pointer to a large one."""
    return path.is_file() and path.stat().st_size >= 1024


def _asked(entries: dict[str, list[str]], seed: int, source: str) -> list[Pair]:
    """Questions by text -> the text; a negative is a text alike."""
    texts = list(entries)
    negatives = _several(texts, texts, random.Random(seed))
    questions = ((question, place) for place, text in enumerate(texts) for question in entries[text])
    return _pairs(questions, texts, negatives, seed, source)


def _profile(title: str, table: Sequence[Sequence[str]]) -> str:
    return " ".join([title, *(table[0] if table else [])])


def _several(profiles: list[str], texts: list[str], rng: random.Random) -> list[list[int]]:
    """A few different negatives a text, for texts that answer several queries."""
    draws = [similar(profiles, texts, rng, text_cap=0.7, among=6) for _ in range(3)]
    return [[other for other in options if other is not None] for options in zip(*draws, strict=True)]


def _pairs(queries: Any, texts: list[str], negatives: list[list[int]], seed: int, source: str) -> list[Pair]:
    rng = random.Random(seed)
    pairs = []
    for query, place in queries:
        options = negatives[place]
        negative = texts[rng.choice(options)] if options else None
        pairs.append(Pair(squeeze(query), texts[place], negative, source))
    return unique(pairs, shortest_query=3)


def wikitq_evaluation_titles(clone: Path) -> frozenset[str]:
    """Lower-case page titles of the WikiTableQuestions test tables."""
    with (clone / "data" / "pristine-unseen-tables.tsv").open(encoding="utf-8") as file:
        names = {line.rstrip("\n").split("\t")[2] for line in file}
    with (clone / "misc" / "table-metadata.tsv").open(encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    title = rows[0].index("title")
    return frozenset(row[title].lower() for row in rows if row[0] in names)
