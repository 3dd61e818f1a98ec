"""How many Meta Tokens a document needs: quality against their number, for thin and dense documents apart.

Example:
    python benchmarks/mini/capacity.py --model mini --out results --tatqa TAT-QA --wikitq WikiTableQuestions

The paper (arXiv 2509.18095) leaves open where the plateau lies on dense pages. All query Meta Tokens score the first
1, 2, 4, ... document Meta Tokens; queries are binned by the tokens of text in the document that answers them. Writes
capacity.json, capacity.md and capacity.png.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from options import asked_of, folders_of, make_parser, no_benchmark

from metaembed_rag import Budget, MetaEmbed
from metaembed_rag.evaluation.benchmarks import Benchmark, read_benchmark
from metaembed_rag.evaluation.ladder import evaluate

logger = logging.getLogger("capacity")

FloatArray = npt.NDArray[np.float32]

#: Bins of equal numbers of queries, thinnest documents first.
BINS = ("thin", "middle", "dense")


class Remembered:
    """A model that encodes every text once, however many bins it stands in."""

    def __init__(self, model: MetaEmbed) -> None:
        self.model = model
        self.windows = model.windows
        self._known: dict[tuple[str, str], FloatArray] = {}

    def encode_queries(self, queries: Sequence[str], /) -> FloatArray:
        return self._encode("query", queries)

    def encode_documents(self, documents: Sequence[str], /) -> FloatArray:
        return self._encode("document", documents)

    def _encode(self, task: str, texts: Sequence[str]) -> FloatArray:
        new = [text for text in dict.fromkeys(texts) if (task, text) not in self._known]
        encode = self.model.encode_queries if task == "query" else self.model.encode_documents
        for text, rows in zip(new, encode(new), strict=True):
            self._known[task, text] = rows
        return np.stack([self._known[task, text] for text in texts])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__, "folder for the table and the picture")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folders = folders_of(options)
    if not folders:
        no_benchmark(parser)
    model = MetaEmbed.from_pretrained(options.model)
    report: dict[str, Any] = {"model": model.config.name, "fingerprint": model.fingerprint, "benchmarks": {}}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, folder in folders.items():
        report["benchmarks"][name] = _measure(model, asked_of(options, read_benchmark(name, folder)))
    (options.out / "capacity.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / "capacity.md").write_text(_markdown(report), encoding="utf-8")
    _plot(report).savefig(options.out / "capacity.png", dpi=144)


def _measure(model: MetaEmbed, benchmark: Benchmark) -> list[dict[str, Any]]:
    remembered = Remembered(model)
    budgets = [Budget(model.query_tokens, count) for count in _counts(model.document_tokens)]
    rows = []
    for bin_name, (part, tokens) in zip(BINS, _bins(model, benchmark), strict=True):
        curve = {row.budget.document: round(row.ndcg5, 4) for row in evaluate(remembered, part, budgets)}
        logger.info("%s, %s documents of %d to %d tokens: %s", benchmark.name, bin_name, *tokens, curve)
        rows.append({"bin": bin_name, "tokens": tokens, "queries": len(part.queries), "ndcg5": curve})
    return rows


def _counts(most: int) -> list[int]:
    return [2**power for power in range(most.bit_length()) if 2**power <= most]


def _bins(model: MetaEmbed, benchmark: Benchmark) -> list[tuple[Benchmark, tuple[int, int]]]:
    """The benchmark's queries by the tokens of their answer, against all documents; and each bin's fewest and most."""
    lengths = {name: len(model.encoder.tokenizer.tokenize(text)) for name, text in benchmark.documents.items()}
    answer = {
        query: max(lengths[document] for document, grade in benchmark.relevant[query].items() if grade > 0)
        for query in benchmark.queries
    }
    ordered = sorted(answer, key=lambda query: answer[query])
    found = []
    for chosen in np.array_split(np.asarray(ordered, dtype=object), len(BINS)):
        part = benchmark.only(chosen)
        found.append((part, (answer[chosen[0]], answer[chosen[-1]])))
    return found


def _plot(report: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(4.2 * len(report["benchmarks"]), 3.4), layout="constrained")
    axes = figure.subplots(1, len(report["benchmarks"]), squeeze=False)[0]
    for axis, (name, rows) in zip(axes, report["benchmarks"].items(), strict=True):
        for row in rows:
            axis.plot(
                list(row["ndcg5"]),
                list(row["ndcg5"].values()),
                "o-",
                label="{}: {} to {} tokens".format(row["bin"], *row["tokens"]),
            )
        axis.set_xscale("log", base=2)
        axis.set_xticks(list(rows[0]["ndcg5"]), [str(count) for count in rows[0]["ndcg5"]])
        axis.set_xlabel("document Meta Tokens")
        axis.set_title(name)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    axes[0].set_ylabel("nDCG@5")
    return figure


def _markdown(report: dict[str, Any]) -> str:
    lines = [f"# Quality by document Meta Tokens: {report['model']} ({report['fingerprint']})", "", "nDCG@5.", ""]
    for name, rows in report["benchmarks"].items():
        counts = list(rows[0]["ndcg5"])
        lines += [
            f"| {name} | queries | " + " | ".join(map(str, counts)) + " |",
            "|---|" + "---|" * (len(counts) + 1),
            *(
                "| {}, {} to {} tokens | ".format(row["bin"], *row["tokens"])
                + f"{row['queries']} | "
                + " | ".join(f"{value:.3f}" for value in row["ndcg5"].values())
                + " |"
                for row in rows
            ),
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
