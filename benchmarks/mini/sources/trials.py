"""Clinical trials and what they found: Evidence Inference (Lehman et al. 2019, DeYoung et al. 2020), open articles."""

from __future__ import annotations

import csv
import logging
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sources.medical import DROP_CONCLUSION, LONGEST, SHORTEST
from sources.pair import SENTENCE_END, Pair, clip, similar, squeeze, unique

logger = logging.getLogger(__name__)

#: Questions about one article, at most.
QUESTIONS = 3
#: "ABSTRACT.RESULTS:", with its text on the same line or below.
_HEADER = re.compile(r"^(TITLE|ABSTRACT|BODY)(?:\.([^:]*))?:[: ]*(.*)$")
_CONCLUSION = re.compile(r"\b(?:conclusions?|interpretation)\b", re.IGNORECASE)
#: Parts that say nothing about the trial.
_ASIDE = re.compile(r"registration|electronic supplementary|funding|ethics", re.IGNORECASE)
_PUBMED_NUMBER = re.compile(r'<article-id pub-id-type="pmid">(\d+)')
_TEMPLATES = (
    "What is the effect of {intervention} on {outcome}, compared with {comparator}?",
    "Does {intervention} change {outcome} more than {comparator}?",
    "{intervention} versus {comparator}: {outcome}",
    "Is {intervention} better than {comparator} in {outcome}?",
    "How does {intervention} influence {outcome}?",
    "Effect of {intervention} on {outcome}",
    "Does {intervention} affect {outcome}?",
)


@dataclass(frozen=True, slots=True)
class _Article:
    number: str
    title: str
    findings: str  # the abstract without its conclusion
    conclusion: str

    @property
    def abstract(self) -> str:
        return clip(f"{self.findings} {self.conclusion}".strip(), LONGEST)


def read_trials(clone: Path, seed: int, *, without: frozenset[str] = frozenset()) -> list[Pair]:
    """Titles, conclusions and questions about an outcome -> the abstract of the trial; a negative is one alike.

    Args:
        clone: of jayded/evidence-inference.
        seed: of every draw.
        without: PubMed numbers of articles to leave out; one whose own number is not told is left out too.

    Raises:
        FileNotFoundError: no articles below ``clone``.
    """
    folder = clone / "annotations"
    paths = sorted((folder / "txt_files").glob("PMC*.txt"))
    if not paths:
        raise FileNotFoundError(
            f"no annotations/txt_files/PMC*.txt below {clone}: clone jayded/evidence-inference there"
        )
    articles = [article for path in paths if _may_be_used(path, without) and (article := _read(path))]
    logger.info("trials: %d of %d articles", len(articles), len(paths))
    prompts = _prompts(folder / "prompts_merged.csv")
    rng = random.Random(seed)
    texts = [article.abstract for article in articles]
    profiles = [f"{article.title} {text}" for article, text in zip(articles, texts, strict=True)]
    negatives = similar(profiles, texts, rng, text_cap=0.5)
    pairs: list[Pair] = []
    for article, other in zip(articles, negatives, strict=True):
        pairs += _questions(article, prompts[article.number], None if other is None else articles[other], rng)
    return unique(pairs, shortest_query=3)


def _questions(
    article: _Article, prompts: list[dict[str, str]], other: _Article | None, rng: random.Random
) -> Iterator[Pair]:
    """Every question draws anew whether the abstract keeps its conclusion; a negative goes the same way."""
    asked = [("title", article.title)] if article.title else []
    asked += [
        ("question", squeeze(rng.choice(_TEMPLATES).format(**prompt)))
        for prompt in rng.sample(prompts, min(QUESTIONS, len(prompts)))
    ]
    for kind, query in asked:
        dropped = bool(article.conclusion) and rng.random() < DROP_CONCLUSION
        positive = clip(article.findings, LONGEST) if dropped else article.abstract
        negative = None if other is None else clip(other.findings, LONGEST) if dropped else other.abstract
        yield Pair(query, positive, negative, f"trials/{kind}")
    if article.conclusion:
        first = SENTENCE_END.split(article.conclusion)[0]
        negative = None if other is None else clip(other.findings, LONGEST)
        yield Pair(first, clip(article.findings, LONGEST), negative, "trials/conclusion")


def _may_be_used(path: Path, without: frozenset[str]) -> bool:
    source = path.parent.parent / "xml_files" / f"{path.stem}.nxml"
    number = _PUBMED_NUMBER.search(source.read_text(encoding="utf-8", errors="replace")) if source.is_file() else None
    return number is not None and number[1] not in without


def _read(path: Path) -> _Article | None:
    """None where the abstract is missing, or too short without its conclusion."""
    title = ""
    findings: list[str] = []
    conclusion: list[str] = []
    part, name = "", ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        text = squeeze(line)
        if header := _HEADER.match(text):
            part, name, text = header[1], header[2] or "", header[3]
            if part == "BODY":
                break
        if text and part == "TITLE" and not title:
            title = text
        elif text and not _ASIDE.search(name):  # an abstract without parts follows the title
            (conclusion if _CONCLUSION.search(name) else findings).append(text)
    if not conclusion and findings:
        *findings, last = SENTENCE_END.split(" ".join(findings))
        conclusion = [last]
    whole = " ".join(findings)
    if len(whole) < SHORTEST:
        return None
    return _Article(path.stem.removeprefix("PMC"), title, whole, " ".join(conclusion))


def _prompts(path: Path) -> dict[str, list[dict[str, str]]]:
    """Intervention, comparator and outcome of every question, by article."""
    prompts: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            parts = {name.lower(): squeeze(row[name] or "") for name in ("Intervention", "Comparator", "Outcome")}
            if all(parts.values()):
                prompts[row["PMCID"]].append(parts)
    return prompts
