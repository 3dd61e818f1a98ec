"""Questions in people's own words about prose: Wikipedia (QED, SelQA), articles (COVID-QA), papers (SciTLDR)."""

from __future__ import annotations

import json
import logging
import random
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from sources.medical import LONGEST, SHORTEST
from sources.pair import SENTENCE_END, Pair, clip, similar, squeeze, unique

logger = logging.getLogger(__name__)

#: Characters of a passage of an article, about a window of 256 tokens.
PASSAGE = 1200
#: Share of paragraphs with their article's title in front, and of search queries written out as a question.
WITH_TITLE, WRITTEN_OUT = 0.5, 0.5
#: Characters at the start of an abstract by which an article is known.
KNOWN_BY = 80
#: What QED's tokeniser set apart from the word before it, and from the word after.
_BEFORE = re.compile(r" (?=[,.;:?!)\]%]|'s\b|'t\b)")
_AFTER = re.compile(r"(?<=[(\[$£€]) ")
_HYPHEN = re.compile(r"(?<=\w) (?:-|--) (?=\w)")
_QUOTED = re.compile(r"`` ?| ?''")


def read_wikipedia(qed: Path | None, selqa: Path | None, seed: int) -> list[Pair]:
    """Questions -> the paragraph or section of Wikipedia that answers them; a negative is one alike.

    Args:
        qed: clone of google-research-datasets/QED (Lamm et al. 2021: Natural Questions), of which the training part
            is read; None leaves it out.
        selqa: clone of emorynlp/selqa (Jurczyk et al. 2016), of which the development and test parts are read.
        seed: of every draw.

    Raises:
        FileNotFoundError: a clone without those files.
    """
    rng = random.Random(seed)
    rows = [*(_qed(qed, rng) if qed else ()), *(_selqa(selqa) if selqa else ())]
    texts = list(dict.fromkeys(text for _, _, text, _ in rows))
    titles = {text: title for _, title, text, _ in rows}
    profiles = [f"{titles[text]} {text}" for text in texts]
    negatives = dict(zip(texts, similar(profiles, texts, rng, text_cap=0.5), strict=True))

    def shown(text: str, titled: bool) -> str:
        return clip(f"{titles[text]}\n{text}" if titled else text, LONGEST)

    pairs = []
    for query, _, text, source in rows:
        titled = rng.random() < WITH_TITLE
        other = negatives[text]
        negative = None if other is None else shown(texts[other], titled)
        pairs.append(Pair(query, shown(text, titled), negative, source))
    return unique(pairs, shortest_query=3)


def read_articles(clone: Path, seed: int, *, without: Iterable[str] = ()) -> list[Pair]:
    """Questions of biomedical experts -> the passage of the article that answers; a negative is another one of it.

    Args:
        clone: of deepset-ai/COVID-QA (Möller et al. 2020).
        seed: of every draw.
        without: abstracts; an article that holds the beginning of one is left out.

    Raises:
        FileNotFoundError: no questions below ``clone``.
    """
    path = clone / "data" / "question-answering" / "200423_covidQA.json"
    rng = random.Random(seed)
    known = [squeeze(text)[:KNOWN_BY] for text in without]
    pairs: list[Pair] = []
    for number, entry in enumerate(_load(path, "deepset-ai/COVID-QA")["data"]):
        for paragraph in entry["paragraphs"]:
            text = paragraph["context"]
            plain = squeeze(text)
            if any(start in plain for start in known):
                logger.info("articles: one left out, since it is asked about elsewhere")
                continue
            pairs += _passages_asked(text, paragraph["qas"], f"article-{number}", rng)
    return unique(pairs, shortest_query=3)


def read_papers(clone: Path, seed: int) -> list[Pair]:
    """Summaries of one sentence, and titles -> the abstract of the paper; a negative is one alike.

    Args:
        clone: of allenai/scitldr (Cachola et al. 2020).
        seed: of every draw.

    Raises:
        FileNotFoundError: no papers below ``clone``.
    """
    folder = clone / "SciTLDR-Data" / "SciTLDR-A"
    rows = [row for part in ("train", "dev", "test") for row in _lines(folder / f"{part}.jsonl", "allenai/scitldr")]
    abstracts = (clip(squeeze(" ".join(row["source"])), LONGEST) for row in rows)
    papers = [(row, text) for row, text in zip(rows, abstracts, strict=True) if len(text) >= SHORTEST]
    texts = [text for _, text in papers]
    negatives = similar(texts, texts, random.Random(seed), text_cap=0.5)
    pairs = []
    for (row, text), other in zip(papers, negatives, strict=True):
        negative = None if other is None else texts[other]
        pairs.append(Pair(squeeze(row["target"][0]), text, negative, "papers/summary"))
        pairs.append(Pair(squeeze(row["title"]), text, negative, "papers/title"))
    return unique(pairs, shortest_query=3)


def _qed(clone: Path, rng: random.Random) -> Iterator[tuple[str, str, str, str]]:
    """Query, title, text and source of each question."""
    paths = sorted(clone.glob("*train*.jsonlines"))
    if not paths:
        raise FileNotFoundError(f"no *train*.jsonlines in {clone}: clone google-research-datasets/QED there")
    for path in paths:
        for row in _lines(path, "google-research-datasets/QED"):
            question, text = row["question_text"], _joined(row["paragraph_text"])
            if rng.random() < WRITTEN_OUT:
                question = f"{question[:1].upper()}{question[1:].rstrip('?')}?"
            if len(text) >= SHORTEST:
                yield squeeze(question), squeeze(row["title_text"]), text, "wikipedia/search"


def _selqa(clone: Path) -> Iterator[tuple[str, str, str, str]]:
    for part in ("dev", "test"):
        for row in _load(clone / "ass" / f"selqa-ass-{part}.json", "emorynlp/selqa"):
            text = squeeze(" ".join(row["candidates"]))
            if len(text) >= SHORTEST:
                yield squeeze(row["question"]), f"{row['article']}, {row['section']}", text, "wikipedia/section"


def _joined(text: str) -> str:
    """Text as it is written, of tokens set apart by spaces: "( 1963 ) ," becomes "(1963),"."""
    text = _QUOTED.sub('"', squeeze(text))
    for apart, by in ((_BEFORE, ""), (_AFTER, ""), (_HYPHEN, "-")):
        text = apart.sub(by, text)
    return text


def _passages_asked(text: str, asked: Iterable[Any], document: str, rng: random.Random) -> Iterator[Pair]:
    passages = list(_passages(text))
    ends = list(accumulate(map(len, passages)))
    for question in asked:
        page = bisect_right(ends, question["answers"][0]["answer_start"])
        others = [number for number in range(len(passages)) if abs(number - page) > 1]
        shown = squeeze(passages[page])
        if len(shown) >= SHORTEST and others:
            negative = squeeze(passages[rng.choice(others)])
            yield Pair(squeeze(question["question"]), shown, negative, "articles/question", document, (page,))


def _passages(text: str) -> Iterator[str]:
    """Cut at ends of sentences, every ``PASSAGE`` characters or soon after; together they are the text."""
    start = 0
    while start < len(text):
        cut = SENTENCE_END.search(text, start + PASSAGE)
        end = cut.end() if cut else len(text)
        yield text[start:end]
        start = end


def _load(path: Path, repository: str) -> Any:
    return json.loads(_text(path, repository))


def _lines(path: Path, repository: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _text(path, repository).splitlines() if line.strip()]


def _text(path: Path, repository: str) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: clone {repository} there")
    return path.read_text(encoding="utf-8")
