"""The whole training in small: a tiny BERT with random weights, a synthetic retrieval task, and a recipe for both.

A document is a dozen words, its query four of them, its hard negative a document with some of the query's words but
not all. One vector can hardly hold a dozen words; several can: so the ladder has something to climb.

    files = make_miniature(folder, seed=0)
    train(files.recipe, files.data, folder / "run")              # well under a minute on two idle cores
    diagnose(MetaEmbed.from_pretrained(folder / "run" / "model"), read_pairs(files.test))
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metaembed_rag.training.recipe import Recipe

#: Size of the task's vocabulary, and words a document and a query have.
WORDS, DOCUMENT_WORDS, QUERY_WORDS = 240, 12, 4
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
RESERVED = 100


@dataclass(frozen=True, slots=True)
class Miniature:
    """What ``make_miniature`` wrote.

    Attributes:
        recipe: trains the backbone on the data.
        backbone: folder of the tiny BERT.
        data: folder with ``train.jsonl``.
        test: pairs of other documents, for ``diagnose``.
    """

    recipe: Recipe
    backbone: Path
    data: Path
    test: Path

    def with_options(self, **changes: Any) -> Miniature:
        """The same files with another recipe, e.g. ``groups=((16, 64),)``."""
        return replace(self, recipe=replace(self.recipe, **changes))


def make_miniature(folder: Path, *, seed: int = 0, pairs: int = 4000, queries: int = 200) -> Miniature:
    """Write a tiny backbone and a task, about 3 MB.

    Args:
        folder: made if it is missing.
        seed: of the weights and the texts.
        pairs: for training.
        queries: for the test, each with its document and its hard negative.
    """
    backbone, data = folder / "backbone", folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    words = _words(WORDS)
    _write_backbone(backbone, words, seed)
    _write_pairs(data / "train.jsonl", words, pairs, random.Random(f"train {seed}"))  # noqa: S311 - a task, no secret
    _write_pairs(data / "test.jsonl", words, queries, random.Random(f"test {seed}"))  # noqa: S311
    recipe = Recipe(
        name="miniature",
        backbone=str(backbone),
        model_type="bert",
        dim=16,
        window=32,
        sources={"train": pairs},
        rank=16,
        alpha=16,
        lora_dropout=0.0,
        backbone_dropout=0.0,
        steps=250,
        batch_size=32,
        learning_rate=1e-2,
        warmup_steps=30,
        temperature=0.05,
        query_length=8,
        document_length=16,
        bf16=False,
        seed=seed,
        save_steps=250,
        log_steps=25,
    )
    return Miniature(recipe, backbone, data, data / "test.jsonl")


def _words(count: int) -> list[str]:
    onsets, vowels = "bdfgklmnprstvz", "aeiou"
    syllables = [onset + vowel for onset in onsets for vowel in vowels]
    return [syllables[number % 70] + syllables[(7 * number + number // 70) % 70] for number in range(count)]


def _write_backbone(folder: Path, words: list[str], seed: int) -> None:
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    names = [*SPECIAL, *(f"[unused{number}]" for number in range(RESERVED)), *words]
    tokenizer = Tokenizer(WordLevel({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", names.index("[CLS]")), ("[SEP]", names.index("[SEP]"))]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        unk_token="[UNK]",  # noqa: S106
        pad_token="[PAD]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
        model_max_length=128,
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(names),
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config)
    # Word order means nothing in this task; random positions would only be noise to learn away.
    torch.nn.init.zeros_(model.embeddings.position_embeddings.weight)
    model.save_pretrained(folder)


def _write_pairs(path: Path, words: list[str], count: int, generator: random.Random) -> None:
    rows = []
    for _ in range(count):
        document = generator.sample(words, DOCUMENT_WORDS)
        query = generator.sample(document, QUERY_WORDS)
        others = [word for word in words if word not in query]
        near = [*generator.sample(query, QUERY_WORDS - 2), *generator.sample(others, DOCUMENT_WORDS - QUERY_WORDS + 2)]
        generator.shuffle(near)
        rows.append({"query": " ".join(query), "positive": " ".join(document), "negative": " ".join(near)})
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
