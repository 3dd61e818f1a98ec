"""Rank whole development benchmarks by what a recipe's frozen backbone teaches; write teachers.json and teachers.md.

Example:
    python benchmarks/mini/teachers.py --data pairs --out results --qed QED --pubmedqa pubmedqa

Rankings of all documents, as ``TokenTeacher`` ranks a batch, and late interaction between the targets of alignment at
every budget, in the principal directions of the documents' pooled vectors, which are what (1,1) compares. The recipe
says how the backbone reads, and in which sources it learns which words are rare.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from options import add_benchmarks, asked_of, folders_of, no_benchmark
from sentence_transformers import MultiVectorEncoder
from torch import Tensor, nn

from metaembed_rag.embedding.build import build_encoder, parts
from metaembed_rag.embedding.windows import cut_windows
from metaembed_rag.evaluation.benchmarks import Benchmark, read_benchmark
from metaembed_rag.evaluation.ladder import cut, rank
from metaembed_rag.scoring import best_per_page
from metaembed_rag.training.alignment import document_targets, query_targets
from metaembed_rag.training.data import read_sources
from metaembed_rag.training.lexicon import lexical_scores
from metaembed_rag.training.loss import mmr_scores, parse_groups
from metaembed_rag.training.recipe import Recipe, find_recipe
from metaembed_rag.training.teacher import TokenTeacher, weighted_maxsim
from metaembed_rag.training.teaching import features_of, rarity_of, token_teacher
from metaembed_rag.training.train import computes_in_bfloat16, model_config

logger = logging.getLogger("teachers")

#: A block of documents is scored against all queries at once: gigabytes if it were larger.
DOCUMENTS_AT_ONCE, QUERIES_AT_ONCE = 16, 64
#: Shares of BM25 in a ranking.
SHARES = (0.05, 0.15, 0.3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write both files; they are rewritten after each benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="mini", help="packaged recipe or YAML file")
    parser.add_argument("--data", type=Path, required=True, help="folder of the recipe's JSONL sources")
    parser.add_argument("--out", type=Path, required=True, help="folder for the table")
    add_benchmarks(parser)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folders = folders_of(options)
    if not folders:
        no_benchmark(parser)
    # BM25 is mixed in here, in several shares.
    recipe = replace(Recipe.load(find_recipe(options.recipe)), lexical_share=0.0, compile=False)
    encoder = build_encoder(model_config(recipe), attention=recipe.attention)
    encoder.max_seq_length = recipe.document_length
    pairs = read_sources(options.data, recipe.sources, seed=recipe.seed, missing_negative=recipe.missing_negative)
    rarity = rarity_of(recipe, encoder, pairs)
    teacher = token_teacher(recipe, encoder, rarity, bf16=computes_in_bfloat16(recipe))
    report: dict[str, Any] = {"recipe": options.recipe, "benchmarks": {}}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, folder in folders.items():
        benchmark = asked_of(options, read_benchmark(name, folder))
        found = report["benchmarks"][name] = {}
        for label, scores in rankings(teacher, encoder, benchmark, recipe):
            figures = rank(benchmark, lambda start, end, scores=scores: scores[start:end].cpu().numpy())
            found[label] = round(figures.ndcg5, 4)
            logger.info("%s, %s: nDCG@5 %.4f", name, label, figures.ndcg5)
        (options.out / "teachers.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        (options.out / "teachers.md").write_text(_markdown(report), encoding="utf-8")


@torch.no_grad()
def rankings(
    teacher: TokenTeacher, encoder: MultiVectorEncoder, benchmark: Benchmark, recipe: Recipe
) -> Iterator[tuple[str, Tensor]]:
    """What each ranking is called, and its scores ``[queries, documents]``; a document counts as its best window.

    Args:
        teacher: without BM25.
        encoder: cuts texts into pieces, and says where Meta Tokens have their places.
        benchmark: what is ranked.
        recipe: how long a window is, and the budgets.
    """
    words = parts(encoder)[0]
    room = recipe.document_length - words.words.num_special_tokens_to_add()
    texts, starts = cut(benchmark, lambda text: cut_windows(text, words.offsets(text), room))
    counts = torch.tensor([*starts[1:], len(texts)]) - torch.tensor(starts)
    pages = torch.repeat_interleave(counts).to(encoder.device)
    questions = list(benchmark.queries.values())
    (read,) = features_of(encoder, questions, task="query", together=len(questions))
    asked = teacher.read(read)
    near, rare, alike, pieces, pooled = [], [], [], [], []
    for features in features_of(encoder, texts, together=DOCUMENTS_AT_ONCE):
        column = teacher.read(features)
        for scores, found in zip(teacher.scores(asked, [column]), (near, rare), strict=True):
            found.append(scores)
        alike.append(weighted_maxsim(asked.states, asked.mask.float(), column.states, column.mask))
        pieces += list(column.ids)
        pooled.append(column.pooled)
    one, late, uniform = (best_per_page(torch.cat(found, dim=1), pages) for found in (near, rare, alike))
    ids = nn.utils.rnn.pad_sequence(pieces, batch_first=True, padding_value=words.words.pad_token_id)
    lexical = lexical_scores(asked.ids, ids, teacher.weights, teacher.special_ids, pages)
    yield "pooled vector", one
    yield "late interaction, all tokens alike", uniform
    yield "late interaction, rare words weigh more", late
    for name, scores in (("late interaction, rare words weigh more", late), ("half of each", (one + late) / 2)):
        for share in SHARES:
            yield f"{name}, {share} of BM25", (1 - share) * scores + share * lexical
    directions = _directions(torch.cat(pooled), encoder[1].projection.out_features - 1)
    # Read again: the states of all documents would not fit into memory.
    told = (teacher.read(features) for features in features_of(encoder, texts, together=DOCUMENTS_AT_ONCE))
    documents = torch.cat([document_targets(column, directions) for column in told])
    queries = query_targets(asked, directions)
    groups = parse_groups(recipe.groups)
    blocks = [mmr_scores(block, documents, groups, "mean", pages) for block in queries.split(QUERIES_AT_ONCE)]
    for group, scores in zip(groups, zip(*blocks, strict=True), strict=True):
        yield f"targets of alignment, {group}", torch.cat(scores)


def _directions(vectors: Tensor, count: int) -> Tensor:
    """The principal ``count`` of them, ``[count, hidden]``."""
    found: Tensor = torch.linalg.svd(vectors, full_matrices=False).Vh[:count]
    return found


def _markdown(report: dict[str, Any]) -> str:
    found = report["benchmarks"]
    labels = list(dict.fromkeys(label for figures in found.values() for label in figures))
    rows = [
        f"| nDCG@5 | {' | '.join(found)} |",
        f"|---|{'---|' * len(found)}",
        *(f"| {label} | {' | '.join(f'{figures[label]:.3f}' for figures in found.values())} |" for label in labels),
    ]
    head = f"What the frozen backbone of recipe `{report['recipe']}` teaches, ranked over all documents. No training."
    return head + "\n\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
