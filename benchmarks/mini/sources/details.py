"""Statements with their answer taken out: questions for a detail in the middle of a passage, from passages at hand."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import replace

from sources.pair import SENTENCE_END, Pair, unique

#: Words of a statement that is asked for, and of a question at most.
FEWEST, MOST, LONGEST_QUESTION = 8, 45, 14
#: Words of an answer that is neither a name nor a number, at most.
WIDEST_ANSWER = 3
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")
_NAME = re.compile(r"(?<=\w )[A-Z][\w'-]+(?: (?:of |the |de )?[A-Z][\w'-]+)*")
#: What an answer is, by the question word that stands for it.
_ASKED = (
    (_YEAR, ("when", "in what year")),
    (_NUMBER, ("how many", "how much", "what")),
    (_NAME, ("who", "which", "what")),
)
_OPEN = ("what", "why", "how", "where")
#: Left hanging where an answer was taken out.
_HANGING = re.compile(r"[\s,;:(\"'-]+(?:(?:in|on|at|of|by|to|from|with|for|the|a|an|and|as)[\s,;:(\"'-]*)*$")


def read_details(pairs: Iterable[Pair], seed: int) -> list[Pair]:
    """A question word and what a statement says besides its answer -> the passage with the statement in it.

    People who write questions with a passage in view ask for what one sentence of it says, in much the same words.
    One question a passage, from any sentence but the first, which says what a passage is about.

    Args:
        pairs: whose positives are the passages, and whose negatives stay theirs.
        seed: of every draw.
    """
    rng = random.Random(seed)
    asked: dict[str, Pair] = {}
    for pair in pairs:
        if pair.positive in asked:
            continue
        sentences = SENTENCE_END.split(pair.positive)[1:]
        fit = [sentence for sentence in sentences if FEWEST <= len(sentence.split()) <= MOST]
        if fit:
            query = _question(rng.choice(fit), rng)
            kind = pair.source.partition("/")[0]
            asked[pair.positive] = replace(pair, query=query, source=f"details/{kind}")
    return unique(asked.values(), shortest_query=5)


def _question(statement: str, rng: random.Random) -> str:
    start, end, asked = _answer(statement, rng)
    before = _HANGING.sub("", statement[:start]).split()
    after = statement[end:].strip(" ,;:.)\"'!?").split()
    # The words nearest to the gap, as many of them as a question has.
    room = LONGEST_QUESTION - 1
    kept = min(len(before), max(room - len(after), room // 2))
    before = before[len(before) - kept :]
    return " ".join([rng.choice(asked), *before, *after[: room - kept]]) + "?" * (rng.random() < 0.7)


def _answer(statement: str, rng: random.Random) -> tuple[int, int, tuple[str, ...]]:
    """Where the answer starts and ends, and the words that ask for it."""
    found = [(match.span(), asked) for pattern, asked in _ASKED for match in pattern.finditer(statement)]
    if found:
        (start, end), asked = rng.choice(found)
        return start, end, asked
    gaps = [match.span() for match in re.finditer(r"\S+", statement)]
    first = rng.randrange(len(gaps))
    last = min(len(gaps) - 1, first + rng.randrange(WIDEST_ANSWER))
    return gaps[first][0], gaps[last][1], _OPEN
