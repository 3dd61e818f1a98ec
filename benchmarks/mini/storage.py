"""How little a page may take: fewer Meta Tokens, shorter numbers; writes storage.json and storage.md.

Every way is scored by exact MaxSim over what is left of the vectors, on the same encoding. "4 KiB" merges those most
alike until a document fits, as ``page_vectors`` of an index does: 64 vectors of 4 bits, 32 of 8.

Example:
    python benchmarks/mini/storage.py --out results --pubmedqa pubmedqa --tatqa TAT-QA --wikitq WikiTableQuestions \
        --financebench financebench
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from options import add_financebench, asked_of, make_parser, no_benchmark, parts_of

from metaembed_rag import MetaEmbed
from metaembed_rag.budget import LADDER
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.evaluation.ladder import cut, rank
from metaembed_rag.metrics import Figures, pool
from metaembed_rag.scoring import page_maxsim
from metaembed_rag.store.merging import WINDOWS_TOGETHER
from metaembed_rag.store.schema import Schema, vector_name

logger = logging.getLogger("storage")

FloatArray = npt.NDArray[np.float32]
#: What one part of a benchmark gives by format and budget: quality, and bytes a document.
Found: TypeAlias = dict[tuple[str, str], tuple[Figures, float]]

PAGE = 4096
#: Bits of a value, and the largest whole number it holds on either side of 0; None keeps a float.
FORMATS = {"f32": (32, None), "f16": (16, None), "int8": (8, 127), "4bit": (4, 7)}
TEXTS_AT_ONCE = 512


def stored(vectors: FloatArray, kind: str) -> FloatArray:
    """Vectors as a format keeps them: ``[..., dim]``; whole numbers share a scale a vector, which is not counted."""
    _, largest = FORMATS[kind]
    if kind == "f16":
        return vectors.astype(np.float16).astype(np.float32)
    if largest is None:
        return vectors
    scale = np.abs(vectors).max(axis=-1, keepdims=True) / largest
    kept: FloatArray = (np.round(vectors / scale) * scale).astype(np.float32)
    return kept


def fitted(vectors: FloatArray, starts: npt.NDArray[np.int64], bits: int) -> tuple[FloatArray, float]:
    """As many vectors a document as fit in ``PAGE`` bytes, chosen as in an index, one a window at least.

    Args:
        vectors: ``[windows, tokens, dim]``.
        starts: at which window each document starts.
        bits: of a value.

    Returns:
        the vectors, each window's filled up with its first (which changes no maximum), and the mean bytes a document.
    """
    _, tokens, dim = vectors.shape
    size = dim * bits / 8
    schema = Schema(dim, groups=(1, tokens), page_vectors=int(PAGE // size))
    filled = np.empty_like(vectors)
    total = 0
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(vectors)], strict=True):
        for at in range(start, end, WINDOWS_TOGETHER):
            neighbours = vectors[at : min(at + WINDOWS_TOGETHER, end)]
            for window, named in enumerate(schema.vectors(list(neighbours), windows=end - start), at):
                kept = named[vector_name(tokens)]
                filled[window] = kept[0]
                filled[window, : len(kept)] = kept
                total += len(kept)
    return filled, total * size / len(starts)


def measure(model: MetaEmbed, benchmark: Benchmark) -> Found:
    """Every format at every budget, then what fits in ``PAGE`` bytes: quality, and bytes a document."""
    texts, starts = cut(benchmark, model.windows)
    queries = model.encode_queries(list(benchmark.queries.values()))
    blocks = [model.encode_documents(texts[at : at + TEXTS_AT_ONCE]) for at in range(0, len(texts), TEXTS_AT_ONCE)]
    documents = np.concatenate(blocks)

    def figures(kept: FloatArray, tokens: int) -> Figures:
        return rank(benchmark, lambda start, end: page_maxsim(queries[start:end, :tokens], kept, starts))

    found: Found = {}
    for kind, (bits, _) in FORMATS.items():
        short = stored(documents, kind)
        for budget in LADDER:
            kept = np.ascontiguousarray(short[:, : budget.document])
            found[kind, str(budget)] = figures(kept, budget.query), kept.size * bits / 8 / len(starts)
        merged, size = fitted(documents, starts, bits)
        found[kind, "4 KiB"] = figures(stored(merged, kind), queries.shape[1]), size
    logger.info("%s done", benchmark.name)
    return found


def _rows(parts: Sequence[Benchmark], found: Sequence[Found]) -> list[dict[str, Any]]:
    """Parts of a benchmark joined: queries weigh quality, documents weigh bytes."""
    documents = sum(len(part.documents) for part in parts)
    quality = {way: pool([one[way][0] for one in found]) for way in found[0]}
    size = {
        way: sum(one[way][1] * len(part.documents) for one, part in zip(found, parts, strict=True)) / documents
        for way in found[0]
    }
    whole = quality["f32", str(LADDER[-1])].ndcg5
    return [
        {
            "format": way[0],
            "budget": way[1],
            "page_bytes": round(size[way]),
            "ndcg5": round(figures.ndcg5, 4),
            "p1": round(figures.p1, 4),
            "kept": round(figures.ndcg5 / whole, 4),
        }
        for way, figures in quality.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write both files; they are rewritten after each benchmark."""
    parser = make_parser(__doc__, "folder for storage.json and storage.md")
    add_financebench(parser)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    readers = parts_of(options)
    if not readers:
        no_benchmark(parser)
    model = MetaEmbed.from_pretrained(options.model)
    report: dict[str, Any] = {
        "model": model.config.name,
        "fingerprint": model.fingerprint,
        "queries": {},
        "benchmarks": {},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, read in readers.items():
        parts = [asked_of(options, part) for part in read()]
        report["queries"][name] = sum(len(part.queries) for part in parts)
        report["benchmarks"][name] = _rows(parts, [measure(model, part) for part in parts])
        (options.out / "storage.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        (options.out / "storage.md").write_text(_markdown(report), encoding="utf-8")


def _markdown(report: dict[str, Any]) -> str:
    lines = [
        f"# Bytes a page: {report['model']} ({report['fingerprint']})",
        "",
        "Exact MaxSim over the vectors as they are kept, all windows of a document together. Bytes are those of the",
        'vectors, a document; "4 KiB" merges those most alike until it fits, as `page_vectors` of an index does. Kept',
        "is nDCG@5 as a share of that of all vectors in float32.",
        "",
    ]
    for name, rows in report["benchmarks"].items():
        lines += [
            f"## {name}: {report['queries'][name]:,} queries",
            "",
            "| format | budget | bytes | nDCG@5 | P@1 | kept |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['format']} | {row['budget']} | {row['page_bytes']:,} | {row['ndcg5']:.3f} | {row['p1']:.3f} "
            f"| {row['kept']:.1%} |"
            for row in rows
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
