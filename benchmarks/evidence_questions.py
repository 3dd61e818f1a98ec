"""Questions whose evidence line is known: the example reports, WikiTableQuestions, TAT-QA."""

from __future__ import annotations

import json
import random
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from metaembed_rag.evaluation.tables import read_wikitq_table, read_wikitq_titles
from metaembed_rag.evidence.lines import lay_out
from metaembed_rag.pages import read_page

#: Characters of a line that prose is set in where the data have no lines.
_WIDTH = 95
_SEED = 7
#: Pages of fewer lines make a hit too easy, of more too slow.
_LINES = (8, 40)


@dataclass(frozen=True)
class Question:
    """A question, the text of its page, and the lines (from 0) of which each answers it."""

    text: str
    page: str
    evidence: frozenset[int]


def read_reports(examples: Path) -> list[Question]:
    """The questions of examples/questions.json: evidence is a line that holds one of the texts named there."""
    found = []
    for entry in json.loads((examples / "questions.json").read_text(encoding="utf-8")):
        page = read_page(examples / "reports" / entry["source"], entry["page"])
        found.append(_question(entry["question"], page.text, entry["evidence"]))
    return found


def read_tatqa(folder: Path, count: int) -> list[Question]:
    """TAT-QA: questions answered by one span that stands in one line of its paragraphs or table."""
    contexts = json.loads((folder / "dataset_raw" / "tatqa_dataset_test_gold.json").read_text(encoding="utf-8"))
    found = []
    for context in contexts:
        paragraphs = sorted(context["paragraphs"], key=lambda paragraph: int(paragraph["order"]))
        lines = [line for paragraph in paragraphs for line in textwrap.wrap(_flat(paragraph["text"]), _WIDTH)]
        lines += _rows(context["table"]["table"])
        for entry in context["questions"]:
            answers = entry["answer"] if isinstance(entry["answer"], list) else [entry["answer"]]
            if entry["answer_type"] != "span" or len(answers) != 1:
                continue
            answer = _flat(str(answers[0]))
            # An answer that runs over a line's end is known by its beginning.
            found.append(_question(entry["question"], "\n".join(lines), [answer, answer[:40]]))
    return _sample(found, count)


def read_wikitq(folder: Path, count: int) -> list[Question]:
    """WikiTableQuestions, test: questions whose answer stands in one row of their table."""
    lines = (folder / "data" / "pristine-unseen-tables.tsv").read_text(encoding="utf-8").splitlines()
    columns = lines[0].split("\t")
    titles = read_wikitq_titles(folder)
    found = []
    for line in lines[1:]:
        entry = dict(zip(columns, line.split("\t"), strict=True))
        if "|" in entry["targetValue"]:
            continue
        name = entry["context"]
        rows = [_flat(titles.get(name, "")), *_rows(read_wikitq_table(folder, name))]
        found.append(_question(entry["utterance"], "\n".join(row for row in rows if row), [entry["targetValue"]]))
    return _sample(found, count)


def _question(text: str, page: str, evidence: list[str]) -> Question:
    lines = [page[line.span[0] : line.span[1]] for line in lay_out(page).lines]
    holding = frozenset(
        index for index, line in enumerate(lines) for known in evidence if len(known) > 2 and _holds(line, known)
    )
    return Question(text, page, holding)


def _holds(line: str, known: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(known)}", line) is not None


def _sample(questions: list[Question], count: int) -> list[Question]:
    usable = [
        question
        for question in questions
        if len(question.evidence) == 1 and _LINES[0] <= len(lay_out(question.page).lines) <= _LINES[1]
    ]
    random.Random(_SEED).shuffle(usable)
    return usable[:count]


def _rows(table: list[list[str]]) -> list[str]:
    rows = (" ".join(filter(None, map(_flat, row))) for row in table)
    return [row for row in rows if row]


def _flat(text: str) -> str:
    return " ".join(str(text).split())
