"""Train how a model reads queries, and nothing else: every document stays as it is.

Example:
    python benchmarks/mini/asking.py mini --data pairs --out asked

A step of a training pays for its documents, so it holds 16 of them and its questions are told from few others. Here
documents are read once and kept. A step costs its questions alone, so it asks 64 of one pool, against their answers
and three pages each that look like answers. Labels teach at every budget, and so does the widest budget of the model
as it was; of questions as people ask them (``Pool.told``) half of it with the frozen backbone's one vector, and more
than the labels. LoRA weights of the queries' own, and the rows of their Meta Tokens, are all that is trained; they are
written to the model's ``query`` folder.
"""

from __future__ import annotations

import argparse
import logging
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from kept import Kept, NestedScores, mean_maxsim, nearest
from peft import PeftModel
from sentence_transformers import MultiVectorEncoder
from torch import Tensor, nn
from transformers import AutoModel

from metaembed_rag import MetaEmbed
from metaembed_rag.embedding.backbone import resolve_backbone
from metaembed_rag.embedding.build import QUERY_FOLDER, add_query_adapter, parts, save_lora
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.scoring import best_per_page
from metaembed_rag.training.data import Triplet, read_triplets
from metaembed_rag.training.distillation import divergence
from metaembed_rag.training.teacher import TokenTeacher

logger = logging.getLogger("asking")


@dataclass(frozen=True, slots=True)
class Pool:
    """Pages that are told from each other.

    Attributes:
        source: JSONL file of the data folder, without its ending, whose positives are the pages.
        pages: at most; whole documents of them, where a source names documents.
        weight: how often a step asks here, relative to the others.
        details: the same for questions of "details" about these pages.
        told: the backbone's one vector teaches too, and teachers count more than labels.
    """

    source: str
    pages: int
    weight: float
    details: float = 0.0
    told: bool = False


POOLS = (
    Pool("wikipedia", 6000, 20, details=4.3, told=True),
    Pool("stories", 4000, 9, details=3.0),
    Pool("wikitq", 1700, 15),
    Pool("filings", 2500, 12),
    Pool("tatqa", 300, 8),
    Pool("trials", 2500, 6),
    Pool("manuals", 2000, 6),
    Pool("abstracts", 2700, 5, told=True),
    Pool("medquad", 1500, 4),
    Pool("tabfact", 1000, 4),
    Pool("articles", 600, 3),
    Pool("papers", 1200, 3),
    Pool("fetaqa", 1200, 3),
    Pool("debian", 1200, 3),
)
#: Windows of a page that are read, tokens of a question, inputs of a pass.
WINDOWS, LENGTH, TOGETHER = 3, 64, 32
#: Questions of a step, pages beside each one's answer, and how many of the nearest these are drawn from.
ASKED, BESIDE, NEAREST = 64, 3, 30
#: Of mean similarities, as in the recipes.
TEMPERATURE = 0.02
#: Weights of labels and teacher, and of both where the backbone teaches too. Its ranking and the model's are added and
#: sharpened, since a mean of two rankings is flatter than either.
PLAIN, TOLD, SHARPER = (1.0, 1.0), (0.5, 2.0), 1.2


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions about one pool.

    Attributes:
        texts: what is asked.
        answers: ``[n]``, the page that answers each.
        near: ``[n, nearest]``, pages that look like it.
        vectors: half precision ``[n, q, dim]``, as the model asked before.
        pooled: ``[n, hidden]``, the frozen backbone's one vector; None where it does not teach.
        documents: the pool.
        weight: see ``Pool``.
    """

    texts: list[str]
    answers: Tensor
    near: Tensor
    vectors: Tensor
    pooled: Tensor | None
    documents: Kept
    weight: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the model with its query adapter, everything else as it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="packaged model, folder or hub id, without a query adapter")
    parser.add_argument("--data", type=Path, required=True, help="folder of JSONL sources, of prepare_data.py")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; it must not exist")
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.out.exists():
        parser.error(f"{options.out} exists: give a new folder")
    model = MetaEmbed.from_pretrained(options.model)
    if not model.config.weighted_queries or model.config.query_adapter:
        parser.error(f"{options.model} must weigh queries, and read them as it reads documents")
    transformer: Any = parts(model.encoder)[0]
    transformer.query_length = LENGTH
    torch.manual_seed(options.seed)
    asked = list(read(model, options.data, options.seed))
    adapted = add_query_adapter(model.encoder, model.config, rank=options.rank)
    model.save_pretrained(options.out)
    config = replace(model.config, query_adapter=True)
    config.save(options.out)
    train(model.encoder, adapted, asked, options, config)


def read(model: MetaEmbed, data: Path, seed: int) -> Iterable[Questions]:
    """The questions of every pool, each with its pages."""
    path = data / "details.jsonl"
    details = read_triplets(path, cap=1_000_000, seed=seed) if path.exists() else []
    backbone = AutoModel.from_pretrained(resolve_backbone(model.config.backbone), dtype=torch.bfloat16)
    # Its pooled vectors alone are asked for, in which words weigh alike.
    teacher = TokenTeacher(backbone, torch.zeros(backbone.config.vocab_size), [])
    for pool in POOLS:
        rows = _whole_documents(read_triplets(data / f"{pool.source}.jsonl", cap=1_000_000, seed=seed), pool.pages)
        numbers = {text: page for page, text in enumerate(dict.fromkeys(str(row["positive"]) for row in rows))}
        cut = [[window.text for window in model.windows(text)[:WINDOWS]] for text in numbers]
        windows = [window for page in cut for window in page]
        documents = Kept(
            _encode(model.encoder, windows, "document").half(),
            nn.functional.pad(torch.tensor([len(page) for page in cut]).cumsum(0), (1, 0)),
            _pool(model.encoder, teacher, windows, "document") if pool.told else None,
        )
        about = [row for row in details if row["positive"] in numbers] if pool.details else []
        for group, weight in ((rows, pool.weight), (about, pool.details)):
            if not group:
                continue
            texts = [str(row["query"]) for row in group]
            answers = torch.tensor([numbers[str(row["positive"])] for row in group])
            vectors = _encode(model.encoder, texts, "query").half()
            pooled = _pool(model.encoder, teacher, texts, "query") if pool.told else None
            near = nearest(vectors, answers, documents, NEAREST)
            logger.info("%s: %d questions, %d pages, %d windows", pool.source, len(texts), len(numbers), len(windows))
            yield Questions(texts, answers, near, vectors, pooled, documents, weight)


def _whole_documents(rows: list[Triplet], pages: int) -> list[Triplet]:
    """Pairs about so many pages at most; of a document that is named, all that there are."""
    documents: dict[str, list[Triplet]] = defaultdict(list)
    for row in rows:
        documents[row.get("document") or str(row["positive"])].append(row)
    kept: list[Triplet] = []
    seen: set[str] = set()
    for document in documents.values():
        if len(seen) >= pages:
            break
        kept += document
        seen |= {str(row["positive"]) for row in document}
    return kept


def _batches(texts: Sequence[str]) -> Iterable[list[int]]:
    """Numbers of texts of like length together: less of a batch is padding."""
    order = iter(sorted(range(len(texts)), key=lambda number: -len(texts[number])))
    while batch := list(islice(order, TOGETHER)):
        yield batch


def _forward(encoder: MultiVectorEncoder, texts: Sequence[str], task: str) -> Tensor:
    """Vectors in the directions that documents have."""
    with torch.autocast("cpu", torch.bfloat16):
        rows: Tensor = encoder(encoder.preprocess(list(texts), task=task))["token_embeddings"]
    return rows[..., :-1].float()


@torch.no_grad()
def _encode(encoder: MultiVectorEncoder, texts: Sequence[str], task: str) -> Tensor:
    encoder.eval()
    rows = [_forward(encoder, [texts[number] for number in batch], task) for batch in _batches(texts)]
    return _in_order(rows, texts)


@torch.no_grad()
def _pool(encoder: MultiVectorEncoder, teacher: TokenTeacher, texts: Sequence[str], task: str) -> Tensor:
    """The frozen backbone's mean states, of unit length."""
    inputs = (encoder.preprocess([texts[number] for number in batch], task=task) for batch in _batches(texts))
    return _in_order([teacher.read(features).pooled for features in inputs], texts)


def _in_order(rows: list[Tensor], texts: Sequence[str]) -> Tensor:
    order = torch.tensor([number for batch in _batches(texts) for number in batch])
    return torch.cat(rows)[order.argsort()]


def train(
    encoder: MultiVectorEncoder,
    adapted: PeftModel,
    asked: list[Questions],
    options: argparse.Namespace,
    config: ModelConfig,
) -> None:
    """Train the adapter and write it, every 200 steps and at the end."""
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, options.rate, weight_decay=0.0)
    warm, steps = 50, options.steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warm) * (1 + math.cos(math.pi * step / steps)) / 2
    )
    drawn = random.Random(options.seed)
    encoder.train()
    losses = []
    for step in range(1, steps + 1):
        (questions,) = drawn.choices(asked, [group.weight for group in asked])
        loss = _loss(encoder, questions, config.groups, drawn)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 50 == 0:
            logger.info("step %d: loss %.4f", step, sum(losses[-50:]) / 50)
        if step % 200 == 0 or step == steps:
            save_lora(adapted, config, options.out / QUERY_FOLDER)


def _loss(
    encoder: MultiVectorEncoder, questions: Questions, groups: Sequence[tuple[int, int]], drawn: random.Random
) -> Tensor:
    """Labels and teachers over the pages of a step, added up over the budgets."""
    chosen = drawn.sample(range(len(questions.texts)), min(ASKED, len(questions.texts)))
    beside = (page for number in chosen for page in drawn.sample(questions.near[number].tolist(), BESIDE))
    pages = sorted({*questions.answers[chosen].tolist(), *beside})
    places = {page: place for place, page in enumerate(pages)}
    labels = torch.tensor([places[page] for page in questions.answers[chosen].tolist()])
    documents, owners = questions.documents.take(pages)
    with torch.no_grad():
        target = mean_maxsim(questions.vectors[chosen].float(), documents.vectors, owners) / TEMPERATURE
        if questions.pooled is not None and documents.pooled is not None:
            pooled = best_per_page(questions.pooled[chosen] @ documents.pooled.T, owners)
            target = _both(target, pooled)
    named, taught = PLAIN if questions.pooled is None else TOLD
    queries = _forward(encoder, [questions.texts[number] for number in chosen], "query")
    losses = [
        named * nn.functional.cross_entropy(scores / TEMPERATURE, labels)
        + taught * divergence(scores / TEMPERATURE, target)
        for scores in NestedScores.apply(queries, documents.vectors, owners, groups)  # type: ignore[no-untyped-call]
    ]
    return torch.stack(losses).sum()


def _both(first: Tensor, second: Tensor) -> Tensor:
    """The mean of two rankings ``[n, m]``, the second with the first's spread, sharpened."""
    (first, spread), (second, other) = ((x - x.mean(1, keepdim=True), x.std(1, keepdim=True)) for x in (first, second))
    return SHARPER * (first + second * spread / other.clamp(min=1e-6)) / 2


if __name__ == "__main__":
    main()
