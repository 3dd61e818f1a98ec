"""Questions of educators about fairy tales (FairytaleQA): prose in which only what happens tells passages apart."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from sources.medical import LONGEST, SHORTEST
from sources.pair import Pair, clip, squeeze, unique

#: Share of passages with their story's title in front.
WITH_TITLE = 0.3


def read_stories(clone: Path, seed: int) -> list[Pair]:
    """Questions -> the section of the story that answers; a negative is another section of it.

    Args:
        clone: of uci-soe/FairytaleQAData (Xu et al. 2022), of which the training part is read. Questions about more
            than one section are left out.
        seed: of every draw.

    Raises:
        FileNotFoundError: no stories below ``clone``.
    """
    folder = clone / "data-by-train-split"
    rng = random.Random(seed)
    paths = sorted((folder / "questions" / "train").glob("*-questions.csv"))
    if not paths:
        raise FileNotFoundError(f"no questions in {folder}: clone uci-soe/FairytaleQAData there")
    pairs: list[Pair] = []
    for path in paths:
        name = path.name.removesuffix("-questions.csv")
        story = folder / "section-stories" / "train" / f"{name}-story.csv"
        pairs += _asked(name, _rows(story), _rows(path), rng)
    return unique(pairs, shortest_query=3)


def _asked(
    name: str, sections: list[dict[str, str]], questions: list[dict[str, str]], rng: random.Random
) -> Iterator[Pair]:
    title = name.replace("-", " ").capitalize()
    texts = {int(row["section"]): squeeze(row["text"]) for row in sections}
    for row in questions:
        if not row["cor_section"].strip().isdigit():
            continue
        page = int(row["cor_section"])
        # What happens next is often told again there.
        others = [number for number in texts if abs(number - page) > 1]
        if len(texts.get(page, "")) < SHORTEST or not others:
            continue
        head = f"{title}\n" if rng.random() < WITH_TITLE else ""
        positive, negative = (clip(f"{head}{texts[number]}", LONGEST) for number in (page, rng.choice(others)))
        yield Pair(squeeze(row["question"]), positive, negative, "stories/question", name, (page,))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
