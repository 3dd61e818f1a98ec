"""What words add to Meta Tokens: an index of each development benchmark, searched without and with them.

Example:
    python benchmarks/mini/hybrid.py --out results --pubmedqa pubmedqa --tatqa TAT-QA --wikitq WikiTableQuestions \
        --qed QED --fairytaleqa FairytaleQAData --financebench financebench

Everything is asked of an index in a folder, as users ask it, and written to hybrid.json and hybrid.md. Words alone are
what the same engine answers to the query's terms.
"""

from __future__ import annotations

import json
import logging
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

from options import add_financebench, asked_of, make_parser, no_benchmark, parts_of

from metaembed_rag import MetaEmbed, MetaEmbedIndex
from metaembed_rag.budget import LADDER
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.evaluation.measured import Measured, median_ms, pool_measured
from metaembed_rag.metrics import average
from metaembed_rag.search.machine import describe_machine
from metaembed_rag.store.filters import match
from metaembed_rag.store.fusion import WORDS_SHARE
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.words import page_terms, query_terms

logger = logging.getLogger("hybrid")

#: Results of a search: nDCG@5 needs five.
TOP_K = 10
#: Bytes of a term: its number and its weight.
TERM = 8
WORDS = "words"

#: What a part of a benchmark came to, by way of searching.
Found: TypeAlias = dict[str, Measured]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write both files; they are rewritten after each benchmark."""
    parser = make_parser(__doc__, "folder for hybrid.json and hybrid.md")
    add_financebench(parser)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tasks = parts_of(options)
    if not tasks:
        no_benchmark(parser)
    model = MetaEmbed.from_pretrained(options.model)
    report: dict[str, Any] = {
        "model": model.config.name,
        "fingerprint": model.fingerprint,
        "machine": describe_machine(),
        "benchmarks": {},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, read in tasks.items():
        parts = [asked_of(options, part) for part in read()]
        found = [(measure(model, part), len(part.documents)) for part in parts]
        report["benchmarks"][name] = {
            "parts": len(parts),
            "queries": sum(len(part.queries) for part in parts),
            "documents": sum(len(part.documents) for part in parts),
            "ways": {
                way: pool_measured([(ways[way], count) for ways, count in found]).to_json() for way in found[0][0]
            },
        }
        (options.out / "hybrid.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        (options.out / "hybrid.md").write_text(markdown(report), encoding="utf-8")


def measure(model: MetaEmbed, benchmark: Benchmark) -> Found:
    """Every way of searching one benchmark: by words, and at each budget without and with them."""
    texts, queries = list(benchmark.documents.values()), list(benchmark.queries.values())
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        with MetaEmbedIndex(folder, model=model, hybrid=True) as index:
            index.add_texts(texts, ids=list(benchmark.documents))
            vectors, terms = index.info()["bytes_by_group"], _terms_bytes(texts)
            rows = model.encode_queries(queries)
            asked = [{"text": text, "vectors": one} for text, one in zip(queries, rows, strict=True)]
            for budget in LADDER:
                for hybrid in (False, True):
                    search = partial(index.search, budget=budget, top_k=TOP_K, hybrid=hybrid)
                    answers = [search(query) for query in asked]
                    found[_label(str(budget), hybrid)] = Measured(
                        average(zip(([hit.id for hit in hits] for hits in answers), _relevant(benchmark), strict=True)),
                        vectors[budget.document] / len(texts) + terms * hybrid,
                        median_ms(search, queries),
                    )
        found[WORDS] = Measured(average(zip(_by_words(folder, queries), _relevant(benchmark), strict=True)), terms, 0.0)
    for way, measured in found.items():
        logger.info("%s %s nDCG@5 %.4f, %.1f ms", benchmark.name, way, measured.figures.ndcg5, measured.query_ms)
    return found


def _relevant(benchmark: Benchmark) -> Iterator[Any]:
    return (benchmark.relevant[query] for query in benchmark.queries)


def _terms_bytes(texts: Sequence[str]) -> float:
    terms = (page_terms(text) for text in texts)
    return statistics.fmean(0 if found is None else len(found.indices) * TERM for found in terms)


def _by_words(folder: str, queries: Sequence[str]) -> Iterator[list[str]]:
    engine = open_engine(path=folder, url=None, collection="")
    try:
        for query in queries:
            terms = query_terms(query)
            yield [] if terms is None else list(engine.query_words(terms, match("kind", "page"), TOP_K))
    finally:
        engine.close()


def _label(budget: str, hybrid: bool) -> str:
    return f"{budget} and words" if hybrid else budget


def markdown(report: dict[str, Any]) -> str:
    """nDCG@5, a benchmark a row, and what a page and a query take."""
    names = [str(budget) for budget in LADDER]
    lines = [
        f"# Words beside Meta Tokens: {report['model']} ({report['fingerprint']})",
        "",
        "nDCG@5 in the embedded engine. Words alone are BM25, stemmed; beside Meta Tokens they are",
        f"{WORDS_SHARE:.0%} of a score. Milliseconds from query to answer: {report['machine']}.",
        "",
        "| | " + " | ".join([WORDS, *names]) + " |",
        "|---|" + "---|" * (len(names) + 1),
    ]
    for name, result in report["benchmarks"].items():
        ways = result["ways"]
        cells = [f"{ways[_label(budget, False)]['ndcg5']:.3f}" for budget in names]
        lines.append(f"| {name} | {ways[WORDS]['ndcg5']:.3f} | " + " | ".join(cells) + " |")
        cells = [f"{ways[_label(budget, True)]['ndcg5']:.3f}" for budget in names]
        lines.append("| and words | | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| | bytes of words a page | ms at (1,1) | and words | ms at (16,64) | and words |",
        "|---|" + "---|" * 5,
    ]
    for name, result in report["benchmarks"].items():
        ways = result["ways"]
        times = [
            ways[_label(budget, hybrid)]["query_ms"] for budget in (names[0], names[-1]) for hybrid in (False, True)
        ]
        lines.append(
            f"| {name} | {ways[WORDS]['page_bytes']:,} | " + " | ".join(f"{time:.1f}" for time in times) + " |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
