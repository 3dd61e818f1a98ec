"""Questions about diseases and drugs with the answers of NIH sites: MedQuAD (Ben Abacha and Demner-Fushman 2019)."""

from __future__ import annotations

import logging
import random
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from sources.pair import Pair, clip, similar, squeeze, unique

logger = logging.getLogger(__name__)
SHORTEST = 200
LONGEST = 2500


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
