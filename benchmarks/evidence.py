"""How often the line that answers is among the three hottest, by every way of finding evidence, and by chance.

Example:
    python benchmarks/evidence.py --wikitq WikiTableQuestions --tatqa TAT-QA --out results

Every other question chooses the way; the figures are over all of them. What is left out of a page to see what its
score loses ("loss") is the three hottest lines, beside three lines taken at random.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from math import comb
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from evidence_questions import Question, read_reports, read_tatqa, read_wikitq
from evidence_rivals import attention, gradient, words_in_common

from metaembed_rag import LADDER, Budget, MetaEmbed
from metaembed_rag.evidence.lines import Place, lay_out
from metaembed_rag.evidence.score import best_matches, leave_out, token_similarities

logger = logging.getLogger("evidence")

HOTTEST = 3
RANDOM_TRIALS = 2
TITLES = {
    "alone": "each line read alone (the default)",
    "alone 4": "the same at budget (4,8)",
    "alone 1": "the same at budget (1,1)",
    "states": "token states, best match in the line",
    "occlusion": "score lost without the line",
    "gradient": "gradient times input",
    "attention": "attention of the winning Meta Tokens, last layer",
    "rollout": "the same, rolled out over the layers",
    "words": "words in common, no model",
}
FULL = LADDER[-1]
BUDGETS = {"alone": FULL, "alone 4": Budget(4, 8), "alone 1": Budget(1, 1)}
#: Ways whose hottest lines are taken out to see what the score loses.
FAITHFUL = ("alone", "states", "occlusion")


def main() -> None:
    """Measure and write evidence.json and evidence.md, rewritten after each set."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model = MetaEmbed.from_pretrained(options.model)
    sets = {"reports": read_reports(options.examples)}
    if options.wikitq:
        sets["wikitq"] = read_wikitq(options.wikitq, options.count)
    if options.tatqa:
        sets["tatqa"] = read_tatqa(options.tatqa, options.count)
    report: dict[str, Any] = {"model": model.config.name, "fingerprint": model.fingerprint, "sets": {}}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, questions in sets.items():
        # What is left out costs a pass a line: the small set shows it.
        report["sets"][name] = measure(model, questions, slow=options.slow and name == "reports")
        report["chosen"] = _choose(report["sets"])
        (options.out / "evidence.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (options.out / "evidence.md").write_text(_markdown(report), encoding="utf-8")


def measure(model: MetaEmbed, questions: list[Question], *, slow: bool) -> dict[str, Any]:
    """Hits of every way, question by question, so that any part of them can be counted."""
    hits: dict[str, list[bool]] = {}
    losses: dict[str, list[float]] = {}
    chances, exact = [], []
    for number, question in enumerate(questions):
        lines = lay_out(question.page).lines
        chances.append(min(1.0, HOTTEST / len(lines)))
        exact.append(1 - comb(len(lines) - len(question.evidence), HOTTEST) / comb(len(lines), HOTTEST))
        rows = model.encode_queries([question.text])[0]
        for way, scores in _score(model, rows, question, lines, slow=slow).items():
            hottest = np.argsort(-scores, kind="stable")[:HOTTEST]
            hits.setdefault(way, []).append(not question.evidence.isdisjoint(hottest.tolist()))
            if slow and way in FAITHFUL:
                losses.setdefault(way, []).append(_loss(model, rows, question.page, lines, hottest))
        if slow:
            losses.setdefault("random", []).append(_random_loss(model, rows, question.page, lines, number))
        logger.info("%d of %d", number + 1, len(questions))
    return {
        "questions": len(questions),
        "chance": mean(chances),
        "chance_exact": mean(exact),
        "hits": hits,
        "losses": losses,
    }


def _score(
    model: MetaEmbed, rows: np.ndarray, question: Question, lines: tuple[Place, ...], *, slow: bool
) -> dict[str, np.ndarray]:
    """Each line's score by every way."""
    text = question.page
    alone = model.encode_documents([text[line.span[0] : line.span[1]] for line in lines])
    scores = {
        way: best_matches(rows[: budget.query], alone, budget.document).sum(axis=0) for way, budget in BUDGETS.items()
    }
    scores["states"] = token_similarities(model, rows, text, lines).sum(axis=0)
    scores["gradient"] = gradient(model, rows, text, lines, FULL)
    scores |= attention(model, rows, text, lines, FULL)
    scores["words"] = words_in_common(question.text, text, lines)
    if slow:
        scores["occlusion"] = leave_out(model, rows, text, lines, FULL).sum(axis=0)
    return scores


def _loss(model: MetaEmbed, rows: np.ndarray, text: str, lines: tuple[Place, ...], removed: np.ndarray) -> float:
    """Share of the page's score that is lost without some lines."""
    gone = set(removed.tolist())
    rest = "\n".join(text[line.span[0] : line.span[1]] for index, line in enumerate(lines) if index not in gone)
    before, after = (_page_score(model, rows, page) for page in (text, rest))
    return (before - after) / before


def _random_loss(model: MetaEmbed, rows: np.ndarray, text: str, lines: tuple[Place, ...], seed: int) -> float:
    generator = random.Random(seed)
    trials = [generator.sample(range(len(lines)), HOTTEST) for _ in range(RANDOM_TRIALS)]
    return mean(_loss(model, rows, text, lines, np.array(trial)) for trial in trials)


def _page_score(model: MetaEmbed, rows: np.ndarray, text: str) -> float:
    embeddings = model.encode_documents([window.text for window in model.windows(text)])
    return float(best_matches(rows, embeddings, FULL.document).sum(axis=0).max())


def _choose(sets: dict[str, Any]) -> str:
    """The way with the best mean hit rate over every other question of each set, the first question first."""
    ways = ("alone", "states", "gradient", "attention", "rollout")
    return max(ways, key=lambda way: mean(mean(found["hits"][way][::2]) for found in sets.values()))


def _markdown(report: dict[str, Any]) -> str:
    sets = report["sets"]
    heads = [f"{name} ({found['questions']})" for name, found in sets.items()]
    lines = [
        "# Evidence: is the line that answers among the three hottest?",
        "",
        f"Model `{report['model']}` ({report['fingerprint']}), full budget unless said otherwise. Share of questions;",
        "written by `python benchmarks/evidence.py`. An answer of reports may stand in several lines, one of which",
        "suffices; wikitq (test) and tatqa (test, since its dev part names no answers; the model was trained on its",
        "pairs of question and page, never on lines) are questions whose answer stands in exactly one.",
        "",
        f"| way | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
    ]
    for name, title in TITLES.items():
        if not any(name in found["hits"] for found in sets.values()):
            continue
        cells = [f"{mean(found['hits'][name]):.2f}" if name in found["hits"] else "" for found in sets.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    for key, title in (("chance", "chance: 3 / lines"), ("chance_exact", "chance, counting every line that answers")):
        lines.append(f"| {title} | {' | '.join(f'{found[key]:.2f}' for found in sets.values())} |")
    lines += ["", f"Chosen by every other question: **{report['chosen']}**."]
    with_losses = {name: found["losses"] for name, found in sets.items() if found["losses"]}
    if with_losses:
        lines += ["", "Share of the page's score lost when three lines are taken out (what the score stands on):", ""]
        lines += [f"| set | {' | '.join(next(iter(with_losses.values())))} |", f"|---|{'---|' * 4}"]
        for name, losses in with_losses.items():
            lines.append(f"| {name} | {' | '.join(f'{mean(values):.3f}' for values in losses.values())} |")
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--examples", type=Path, default=Path("examples"))
    parser.add_argument("--wikitq", type=Path, help="a clone of ppasupat/WikiTableQuestions")
    parser.add_argument("--tatqa", type=Path, help="a clone of NExTplusplus/TAT-QA")
    parser.add_argument("--count", type=int, default=40, help="questions of each of these")
    parser.add_argument("--slow", action="store_true", help="occlusion and losses on the reports")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
