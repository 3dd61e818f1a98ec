"""Pages that are told from each other, read once, and the questions asked about them."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from kept import Kept, nearest
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder
from torch import Tensor, nn
from transformers import AutoModel

from metaembed_rag import MetaEmbed
from metaembed_rag.embedding.backbone import resolve_backbone
from metaembed_rag.embedding.build import parts
from metaembed_rag.training.data import Triplet, read_triplets
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
    Pool("wikitq", 1700, 12),
    Pool("ottqa", 4500, 14),
    Pool("filings", 14000, 18),
    Pool("tatqa", 300, 6),
    Pool("trials", 2500, 6),
    Pool("manuals", 8000, 9),
    Pool("abstracts", 2700, 5, told=True),
    Pool("medquad", 1500, 4),
    Pool("tabfact", 3400, 4),
    Pool("articles", 600, 3),
    Pool("papers", 1200, 3),
    Pool("fetaqa", 2900, 3),
    Pool("debian", 1200, 3),
)
#: Windows of a page that are read, tokens of a question, inputs of a pass, pages kept as nearest to a question.
WINDOWS, LENGTH, TOGETHER, NEAREST = 3, 64, 32, 30


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


class Reader:
    """Reads texts with a model and its frozen backbone, and keeps what it read in a folder for another run.

    Args:
        model: what reads.
        folder: files in it are named after the model and the texts, so none is ever stale.
    """

    def __init__(self, model: MetaEmbed, folder: Path) -> None:
        transformer: Any = parts(model.encoder)[0]
        transformer.query_length = LENGTH
        backbone = AutoModel.from_pretrained(resolve_backbone(model.config.backbone), dtype=torch.bfloat16)
        # Its pooled vectors alone are asked for, in which words weigh alike.
        self._teacher = TokenTeacher(backbone, torch.zeros(backbone.config.vocab_size), [])
        self._encoder, self._fingerprint, self._folder = model.encoder, model.fingerprint, folder
        folder.mkdir(parents=True, exist_ok=True)

    def encode(self, texts: Sequence[str], task: str) -> Tensor:
        """The model's vectors, half precision ``[n, k, dim]``, without the direction that documents do not have."""
        return self._kept(texts, task, lambda part: forward(self._encoder, part, task).half())

    def pool(self, texts: Sequence[str], task: str) -> Tensor:
        """The frozen backbone's mean states ``[n, hidden]``, of unit length."""
        return self._kept(
            texts, f"pooled-{task}", lambda part: self._teacher.read(self._encoder.preprocess(part, task=task)).pooled
        )

    @torch.no_grad()
    def _kept(self, texts: Sequence[str], what: str, read: Callable[[list[str]], Tensor]) -> Tensor:
        digest = hashlib.sha256("\0".join([self._fingerprint, what, *texts]).encode()).hexdigest()[:16]
        path = self._folder / f"{what}-{digest}.safetensors"
        if not path.exists():
            self._encoder.eval()
            batches = list(_batches(texts))
            rows = torch.cat([read([texts[number] for number in batch]) for batch in batches])
            order = torch.tensor([number for batch in batches for number in batch])
            part = path.with_suffix(".part")
            save_file({"rows": rows[order.argsort()].contiguous()}, part)
            part.replace(path)
        return load_file(path)["rows"]


def forward(encoder: MultiVectorEncoder, texts: Sequence[str], task: str) -> Tensor:
    """Vectors ``[n, k, dim - 1]`` in the directions that documents have; with gradients where they are wanted."""
    with torch.autocast("cpu", torch.bfloat16):
        rows: Tensor = encoder(encoder.preprocess(list(texts), task=task))["token_embeddings"]
    return rows[..., :-1].float()


def read_pools(model: MetaEmbed, data: Path, folder: Path, seed: int) -> Iterable[Questions]:
    """The questions of every pool, each with its pages.

    Args:
        model: reads both.
        data: folder of JSONL sources.
        folder: keeps what was read.
        seed: of the order of pairs, which decides on the pages of a pool that is larger than it may be.
    """
    reader = Reader(model, folder)
    path = data / "details.jsonl"
    details = read_triplets(path, cap=1_000_000, seed=seed) if path.exists() else []
    for pool in POOLS:
        rows = _whole_documents(read_triplets(data / f"{pool.source}.jsonl", cap=1_000_000, seed=seed), pool.pages)
        numbers = {text: page for page, text in enumerate(dict.fromkeys(str(row["positive"]) for row in rows))}
        cut = [[window.text for window in model.windows(text)[:WINDOWS]] for text in numbers]
        windows = [window for page in cut for window in page]
        documents = Kept(
            reader.encode(windows, "document"),
            nn.functional.pad(torch.tensor([len(page) for page in cut]).cumsum(0), (1, 0)),
            reader.pool(windows, "document") if pool.told else None,
        )
        about = [row for row in details if row["positive"] in numbers] if pool.details else []
        for group, weight in ((rows, pool.weight), (about, pool.details)):
            if not group:
                continue
            texts = [str(row["query"]) for row in group]
            answers = torch.tensor([numbers[str(row["positive"])] for row in group])
            vectors = reader.encode(texts, "query")
            pooled = reader.pool(texts, "query") if pool.told else None
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
