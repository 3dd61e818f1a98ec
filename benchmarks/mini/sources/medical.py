"""Medical texts: answers of NIH sites (MedQuAD, Ben Abacha and Demner-Fushman 2019), abstracts of PubMed."""

from __future__ import annotations

import logging
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path

from sources.pair import SENTENCE_END, Pair, clip, similar, squeeze, unique

logger = logging.getLogger(__name__)
SHORTEST = 200
LONGEST = 2500
#: Share of titles whose positive lacks its last sentence, which often says the title again.
DROP_CONCLUSION = 0.5
_TITLE_OR_ABSTRACT = re.compile(r"^(\d+)\|([ta])\|(.*)$", re.MULTILINE)


def read_medquad(clone: Path, seed: int) -> list[Pair]:
    """Questions -> their answers, those that the publishers let be kept; a negative answers another question alike.

    Answers below 200 characters and answers given twice are left out.
    """
    answers: dict[str, str] = {}
    for question, answer in _entries(clone):
        if len(answer) >= SHORTEST:
            answers.setdefault(clip(answer, LONGEST), question)
    texts = list(answers)
    profiles = [f"{question} {text}" for text, question in answers.items()]
    negatives = similar(profiles, texts, random.Random(seed), text_cap=0.5)
    return unique(
        (
            Pair(question, text, None if other is None else texts[other], "medquad/question")
            for (text, question), other in zip(answers.items(), negatives, strict=True)
        ),
        shortest_query=3,
    )


def read_abstracts(clones: Sequence[Path], seed: int, *, without: frozenset[str] = frozenset()) -> list[Pair]:
    """Titles and conclusions of articles -> their abstracts, from corpora in PubTator's format; a negative is alike.

    Args:
        clones: folders with ``original-data/**/*.txt``.
        seed: of every draw.
        without: numbers (PMID) of articles to leave out.
    """
    titles: dict[str, str] = {}
    abstracts: dict[str, str] = {}
    for path in sorted(path for clone in clones for path in clone.glob("original-data/**/*.txt")):
        for number, part, text in _TITLE_OR_ABSTRACT.findall(path.read_text(encoding="utf-8")):
            if number not in without:
                (titles if part == "t" else abstracts)[number] = squeeze(text)
    numbers = [number for number in titles if len(abstracts.get(number, "")) >= SHORTEST]
    rng = random.Random(seed)
    whole = [clip(abstracts[number], LONGEST) for number in numbers]
    halves = [(" ".join(sentences[:-1]), sentences[-1]) for sentences in map(SENTENCE_END.split, whole)]
    profiles = [f"{titles[number]} {text}" for number, text in zip(numbers, whole, strict=True)]
    negatives = similar(profiles, whole, rng, text_cap=0.5)
    pairs = []
    for number, text, (rest, conclusion), other in zip(numbers, whole, halves, negatives, strict=True):
        parted = len(rest) >= SHORTEST
        negative = None if other is None else whole[other]
        positive = rest if parted and rng.random() < DROP_CONCLUSION else text
        pairs.append(Pair(titles[number], positive, negative, "abstracts/title"))
        if parted:
            pairs.append(Pair(conclusion, rest, negative, "abstracts/conclusion"))
    return unique(pairs, shortest_query=3)


def _entries(clone: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(clone.glob("*_QA*/*.xml")):
        try:
            root = ET.parse(path).getroot()  # noqa: S314 - expat itself refuses entities that multiply
        except ET.ParseError as error:
            logger.warning("%s left out: %s", path, error)
            continue
        for pair in root.iter("QAPair"):
            question, answer = squeeze(pair.findtext("Question") or ""), squeeze(pair.findtext("Answer") or "")
            if question and answer:
                yield question.replace(" ?", "?"), answer
