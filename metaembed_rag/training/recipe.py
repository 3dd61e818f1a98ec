"""Recipe: everything a training depends on besides the data files, read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml

from metaembed_rag.errors import InputError


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run.

    Attributes:
        name: the model's name, kept in its config.
        backbone: see ``resolve_backbone``.
        model_type: a key of the family table.
        query_tokens, document_tokens, dim, window: see ``ModelConfig``.
        sources: JSONL files under the data folder, without ending, and how many pairs of each at most.
        rank, alpha, lora_dropout: of the LoRA adapter.
        backbone_dropout: of the backbone itself while training.
        steps: optimizer steps.
        batch_size: queries a step; each brings its positive and one hard negative.
        learning_rate: peak, after ``warmup_steps`` linear steps, then cosine to zero.
        temperature: of the InfoNCE term.
        similarity: "mean" or "sum" MaxSim while training.
        teacher_weight: of the distillation term; 0 trains on labels alone.
        query_length, document_length: tokens read while training, Meta Tokens not included.
        bf16: autocast to bfloat16, on processors that compute in it.
        attention: transformers' attention implementation.
        missing_negative: a pair without hard negative is left out ("drop") or given another pair's
            positive ("random"); either way it is reported.
        seed: of data order, initialisation and dropout.
        save_steps: steps between checkpoints, from which a run resumes.
    """

    name: str
    sources: dict[str, int]
    backbone: str = "all-MiniLM-L6-v2"
    model_type: str = "bert"
    query_tokens: int = 16
    document_tokens: int = 64
    dim: int | None = 128
    window: int = 256
    rank: int = 32
    alpha: int = 32
    lora_dropout: float = 0.1
    backbone_dropout: float = 0.1
    steps: int = 4000
    batch_size: int = 32
    learning_rate: float = 1e-4
    warmup_steps: int = 500
    temperature: float = 0.03
    similarity: Literal["sum", "mean"] = "mean"
    teacher_weight: float = 0.0
    query_length: int = 64
    document_length: int = 256
    bf16: bool = True
    attention: str = "sdpa"
    missing_negative: Literal["drop", "random"] = "random"
    seed: int = 0
    save_steps: int = 200
    comment: str = field(default="", repr=False)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe.

        Raises:
            InputError: not a YAML mapping, an unknown or missing entry, or a value of the wrong kind.
        """
        try:
            content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise InputError(f"recipe {path}: {error}") from error
        if not isinstance(content, dict):
            raise InputError(f"recipe {path} is not a mapping")
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(content) - known)
        if unknown:
            raise InputError(f"recipe {path}: unknown entries {unknown}; known are {sorted(known)}")
        try:
            recipe = cls(**content)
        except TypeError as error:
            raise InputError(f"recipe {path}: {error}") from error
        recipe.validate(path)
        return recipe

    def validate(self, path: Path) -> None:
        """Refuse values that would fail only after minutes of training."""
        if not self.sources or not all(
            isinstance(name, str) and isinstance(cap, int) and cap > 0 for name, cap in self.sources.items()
        ):
            raise InputError(f"recipe {path}: sources must map file names to positive numbers of pairs")
        for name in ("steps", "batch_size", "rank", "query_length", "document_length", "save_steps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"recipe {path}: {name} must be a whole number of at least 1, not {value!r}")
        if self.similarity not in ("sum", "mean"):
            raise InputError(f"recipe {path}: similarity must be 'sum' or 'mean', not {self.similarity!r}")
        if self.missing_negative not in ("drop", "random"):
            raise InputError(f"recipe {path}: missing_negative must be 'drop' or 'random'")


def find_recipe(name: str) -> Path:
    """A recipe file, or a packaged recipe by name.

    Raises:
        InputError: neither exists.
    """
    path = Path(name)
    if path.is_file():
        return path
    packaged = Path(__file__).parent / "recipes"
    if name.isidentifier() and (packaged / f"{name}.yaml").is_file():
        return packaged / f"{name}.yaml"
    names = ", ".join(sorted(file.stem for file in packaged.glob("*.yaml")))
    raise InputError(f"no recipe {name!r}: give a YAML file or one of: {names}")
