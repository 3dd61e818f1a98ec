"""Questions that analysts ask of a report, each with the page of it that answers."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from sources.filings import Filing, read_filings
from sources.manuals import ManualPage, window
from sources.pair import SENTENCE_END, Pair, jaccard, squeeze, unique, words
from sources.sections import questions_of
from sources.statements import METRICS, ROW, find_row

logger = logging.getLogger(__name__)

SHORTEST_TEXT = 200
#: A row's label on more pages than this says little about which of them is meant.
PAGES_OF_A_LABEL = 3
#: A negative is drawn from so many of the pages most alike, neighbours first.
ALIKE = 6
#: Share of questions by sentence or heading whose page keeps it.
KEEP_SENTENCE = 0.3
KEEP_HEADING = 0.7
#: Share of questions by row, change or metric after which comes what the reader shall do, as people write to a chat.
INSTRUCTED = 0.25

_CHANGE = re.compile(
    r"^(?:(?:during|for|in) [^,]{3,60}, )?(?P<what>[A-Za-z][A-Za-z&’'()\- ]{5,60}?) (?:was |were |also )?"
    r"(?P<way>increased|decreased|grew|declined|rose|fell)\b"
    r".*\b(?:due to|driven by|attributable to|as a result of|resulting from|because|reflect\w*|offset by)\b",
    re.IGNORECASE,
)
#: What stands before a heading: "Note 5 -", "Item 9B.".
_NUMBER = re.compile(
    r"^(?:(?:note|item|part)\s+)?(?:\d{1,2}[A-C]?|[IVX]{1,4}|\([a-z]\)|[A-Z])\s*[.:—–-]\s*", re.IGNORECASE
)
#: A row's label does not end with these.
_UNFINISHED = frozenset({"page", "pages", "level", "note", "of", "on", "and", "to", "in", "the", "for", "see", "refer"})
_ROW_QUESTIONS = (
    "What was {company}'s {label} in {period}?",
    "What were {label} of {company} for {period}?",
    "How much {label} did {company} report for {period}?",
    "{company} {label} {period}",
    "How did {company}'s {label} change from the year before {period}?",
    "Did {label} go up or down in {period}?",
    "What is the {period} amount of {label} (in USD millions) for {company}?",
)
_CHANGE_QUESTIONS = (
    "What drove the change in {company}'s {label} in {period}?",
    "Why did {label} {way} in {period}?",
    "What was the reason that {label} {way} at {company} during {period}?",
    "Which factors explain how {company}'s {label} developed in {period}?",
)
_TOPIC_QUESTIONS = (
    "What does {company} say about {label}?",
    "{label} of {company} as of {period}",
    "Where does the {period} report of {company} describe {label}?",
    "What does the {period} report disclose on {label}?",
    "{label}",
    "Is there anything about {label} in {company}'s report?",
)
_METRIC_QUESTIONS = (
    "What is {company}'s {label} for {period}?",
    "How did the {label} of {company} develop in {period}?",
    "Calculate the {label} of {company} for {period}, from its {statement}.",
    "{company} {label} {period}",
    "Using the {statement}, what is {company}'s {label} in {period}? Round to two decimals.",
    "Is the {label} of {company} better than a year before {period}?",
    "Judging by its {label}, how healthy is {company} as of {period}?",
)
#: Nothing in them tells one page from another: a query must learn to pass them over.
_INSTRUCTIONS = (
    "Answer in USD millions.",
    "Give the answer in thousands of dollars, with two decimals.",
    "Round to one decimal place.",
    "Assume that you are an equity analyst, and name your source.",
    "Use only what the report says.",
    "If this cannot be told from the report, say so and explain why.",
    "If the metric makes no sense for such a company, say that instead.",
    "Answer by the primary financial statements.",
    "Please explain your answer step by step.",
    "Keep it short, for somebody without access to the report.",
    "State the figures that the answer rests on, as a percentage where that helps.",
)
_INFINITIVE = {
    "increased": "increase",
    "decreased": "decrease",
    "grew": "grow",
    "declined": "decline",
    "rose": "rise",
    "fell": "fall",
}


def read_filing_questions(
    root: Path, seed: int, *, without: frozenset[str] = frozenset(), processes: int = 2
) -> list[Pair]:
    """Questions -> pages of the report they are asked of; a negative is another page of it that does not answer.

    Asked are rows of tables, reasons for a change, bold headings, what readers want to know of a section, first
    sentences, and figures that analysts work out from one of the three statements. ``Pair.pages`` names every page that
    may answer, not only the positive one.

    Args:
        root: see ``read_filings``, as the two below.
        seed: of every draw.
        without: names of companies to leave out.
        processes: readers beside each other.
    """
    pairs: list[Pair] = []
    filings = 0
    for filing in read_filings(root, without=without, processes=processes):
        pairs += _Questions(filing, random.Random(f"{seed}:{filing.name}")).pairs()
        filings += 1
    logger.info("filings: %d reports", filings)
    return unique(pairs, shortest_query=2)


class _Questions:
    """All questions of one report."""

    def __init__(self, filing: Filing, rng: random.Random) -> None:
        self.filing = filing
        self.rng = rng
        self.bags = [frozenset(words(" ".join(page.lines))) for page in filing.pages]

    def pairs(self) -> Iterator[Pair]:
        yield from self._metrics()
        for place, page in enumerate(self.filing.pages):
            if page.number == 0:  # the cover: numbers of registration, no figures
                continue
            yield from self._rows(place, page)
            yield from self._changes(place, page)
            yield from self._topics(place, page)
            yield from self._sections(place, page)
            yield from self._sentences(place, page)

    def _metrics(self) -> Iterator[Pair]:
        holding = {statement: self._where(statement.is_on) for statement in dict.fromkeys(one for one, _, _ in METRICS)}
        for statement, row, names in METRICS:
            for place in holding[statement]:
                line = find_row(self.filing.pages[place], row)
                if line is None:
                    continue
                for name in names:
                    query = self._instructed(self._ask(_METRIC_QUESTIONS, name, statement=statement.name))
                    yield from self._pair("metric", query, place, line, "", holding[statement])

    def _rows(self, place: int, page: ManualPage) -> Iterator[Pair]:
        rows = [(match[1].strip(), n) for n, text in enumerate(page.lines) if (match := ROW.match(text))]
        rows = [(label, n) for label, n in rows if 2 <= len(label.split()) <= 12 and _is_finished(label)]
        for label, line in self.rng.sample(rows, min(2, len(rows))):
            holding = self._where(_headed(label))
            if len(holding) <= PAGES_OF_A_LABEL:
                query = self._instructed(self._ask(_ROW_QUESTIONS, _in_a_sentence(label)))
                yield from self._pair("row", query, place, line, "", holding)

    def _changes(self, place: int, page: ManualPage) -> Iterator[Pair]:
        found = [
            (match["what"], match["way"].lower(), line)
            for line, text in enumerate(page.lines)
            for sentence in SENTENCE_END.split(text)
            if (match := _CHANGE.match(sentence))
        ]
        for what, way, line in self.rng.sample(found, min(2, len(found))):
            label = _in_a_sentence(re.sub(r"^(?:our|the|total) ", "", what, flags=re.IGNORECASE))
            query = self._instructed(self._ask(_CHANGE_QUESTIONS, label, way=_INFINITIVE[way]))
            yield from self._pair("change", query, place, line, "", self._where(_saying(f"{what} {way}")))

    def _topics(self, place: int, page: ManualPage) -> Iterator[Pair]:
        titles = [title for title in page.titles if len(title.split()) <= 12 and _letters(title) >= 0.75]
        for title in self.rng.sample(titles, min(2, len(titles))):
            line = page.lines.index(title)
            topic = _NUMBER.sub("", title).rstrip(".: ")
            if not _is_topic(topic):
                continue
            label = _in_a_sentence(topic.title() if topic.isupper() else topic)
            hidden = "" if self.rng.random() < KEEP_HEADING else title
            query = self._ask(_TOPIC_QUESTIONS, label)
            yield from self._pair("topic", query, place, line, hidden, self._where(_headed(title)))

    def _sections(self, place: int, page: ManualPage) -> Iterator[Pair]:
        known = [(title, questions) for title in page.titles if (questions := questions_of(title))]
        for title, questions in self.rng.sample(known, min(2, len(known))):
            answering = self._where(_headed(title))
            for question in self.rng.sample(questions, min(2, len(questions))):
                hidden = "" if self.rng.random() < KEEP_HEADING else title
                query = self._ask((question,), "")
                yield from self._pair("section", query, place, page.lines.index(title), hidden, answering)

    def _sentences(self, place: int, page: ManualPage) -> Iterator[Pair]:
        found = [
            (sentences[0], line)
            for line, text in enumerate(page.lines)
            if len(sentences := SENTENCE_END.split(text)) > 1
            and 8 <= len(sentences[0].split()) <= 40
            and _letters(sentences[0]) >= 0.85
        ]
        for sentence, line in self.rng.sample(found, min(len(found), self.rng.randrange(2))):
            hidden = "" if self.rng.random() < KEEP_SENTENCE else sentence
            yield from self._pair("sentence", sentence, place, line, hidden, self._where(_saying(sentence)))

    def _ask(self, templates: tuple[str, ...], label: str, **more: str) -> str:
        filing = self.filing
        if filing.quarter:
            period = self.rng.choice((f"{filing.quarter} of FY{filing.year}", f"{filing.quarter} {filing.year}"))
        else:
            period = self.rng.choice((f"FY{filing.year}", f"fiscal {filing.year}", f"{filing.year}"))
        return self.rng.choice(templates).format(label=label, company=filing.company, period=period, **more)

    def _instructed(self, question: str) -> str:
        return f"{question} {self.rng.choice(_INSTRUCTIONS)}" if self.rng.random() < INSTRUCTED else question

    def _where(self, answers: Callable[[ManualPage], bool]) -> list[int]:
        return [place for place, page in enumerate(self.filing.pages) if answers(page)]

    def _pair(self, kind: str, query: str, place: int, line: int, hidden: str, answering: list[int]) -> Iterator[Pair]:
        """The question with its page and one that does not answer; nothing where too little text is left around it."""
        pages = self.filing.pages
        positive = window(pages[place].lines, line, hidden, self.rng)
        if len(positive) < SHORTEST_TEXT:
            return
        likeness = sorted(
            (-jaccard(self.bags[place], self.bags[other]) - (0.1 if abs(other - place) == 1 else 0.0), other)
            for other in range(len(pages))
            if other != place and other not in answering
        )
        others = [other for _, other in likeness[:ALIKE]]
        other = self.rng.choice(others) if others else None
        shown = {pages[other].number for other in (place, *answering)}
        negative = None
        if other is not None:
            negative = window(pages[other].lines, 0, "", self.rng)
            shown.add(pages[other].number)
        yield Pair(query, positive, negative, f"filings/{kind}", self.filing.name, tuple(sorted(shown)))


def _headed(title: str) -> Callable[[ManualPage], bool]:
    start = title.lower()
    return lambda page: any(line.lower().startswith(start) for line in page.lines)


def _saying(text: str) -> Callable[[ManualPage], bool]:
    asked = squeeze(text).lower()
    return lambda page: any(asked in line.lower() for line in page.lines)


def _is_finished(label: str) -> bool:
    return label.split()[-1].lower() not in _UNFINISHED and "refer to" not in label.lower()


def _is_topic(heading: str) -> bool:
    return sum(len(word) > 3 for word in words(heading)) > 1 and not heading.lower().startswith("table of contents")


def _letters(text: str) -> float:
    return sum(character.isalpha() or character.isspace() for character in text) / max(1, len(text))


def _in_a_sentence(label: str) -> str:
    """A label in lower case, but for abbreviations and names of several capitals."""
    first, *rest = label.split(" ")
    return " ".join([first if sum(map(str.isupper, first)) > 1 else first.lower(), *rest])
