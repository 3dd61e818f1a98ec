"""Recipe: everything a training depends on besides the data files, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from metaembed_rag.budget import LADDER
from metaembed_rag.embedding.config import Positions, check_division_weights, check_merged_tokens
from metaembed_rag.embedding.dtypes import Dtype
from metaembed_rag.errors import InputError, MetaEmbedError, ModelError
from metaembed_rag.training.data import Source, Teacher

#: What a recipe may hand on to transformers' TrainingArguments: how to run, never what to compute.
TRAINER_KEYS = frozenset(
    {
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "ddp_backend",
        "ddp_bucket_cap_mb",
        "ddp_timeout",
        "deepspeed",
        "fsdp",
        "fsdp_config",
        "max_grad_norm",
        "optim",
        "optim_args",
        "save_total_limit",
        "tf32",
        "torch_compile",
        "use_liger_kernel",
        "weight_decay",
    }
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run.

    Attributes:
        name: the model's name, kept in its config.
        backbone: see ``resolve_backbone``.
        model_type: a key of the family table.
        dtype: of the backbone's frozen weights, such as "bfloat16"; None keeps the checkpoint's own.
        query_tokens, document_tokens, dim, window, visual_tokens: see ``ModelConfig``.
        weighted_queries, pooled_text, first_projection, division_weights, merged_tokens: see ``ModelConfig``. A
            run may begin to pool, to weigh divisions or to merge, where its ``start`` did not; what gives a trained
            model a first projection is ``benchmarks/mini/first.py``.
        start: the model to go on from: packaged, a folder, or a hub id; it must be built as this recipe says. None
            starts from the bare backbone.
        positions: of Meta Tokens on a bidirectional backbone, see ``ModelConfig``; None is its family's own.
        sources: by name, a number of pairs at most, or a mapping of ``Source``'s attributes (cap, weight, file,
            per_document, teacher).
        rank, alpha, lora_dropout: of the LoRA adapter; one that ``start`` brings keeps its own dropout.
        backbone_dropout: of the backbone itself while training.
        steps: optimizer steps.
        batch_size: queries a process sees a step; each brings its positive and one hard negative.
        accumulation: batches whose gradients make one step. In-batch negatives do not reach across them; for more
            negatives in the same memory use ``mini_batch_size``.
        mini_batch_size: samples that go through the backbone at a time (GradCache); None is the whole batch.
        sub_batch: pairs in a row from one source; None draws a whole step, over all processes, from one.
        gather: documents of the other processes are negatives too.
        learning_rate: peak, after ``warmup_steps`` linear steps.
        scheduler: what follows: "cosine" or "linear" to zero, or "constant".
        groups, weights: budgets trained in parallel, narrowest first, and their weights, 1 each by default.
        temperature: of the InfoNCE term.
        similarity: "mean" or "sum" MaxSim while training; kept in the model's config.
        teacher_weight: of the frozen backbone's in-batch rankings; 0 leaves them out.
        nested_weight: of the widest group's in-batch ranking as a teacher of the narrower groups; 0 leaves it out. Of
            a source whose teacher is ``start`` it is that of the model from which the run starts, frozen, and teaches
            all groups. Beside ``teacher_weight`` each source says which teacher it has.
        lexical_share: of BM25 in what teaches; the rest is the backbone's late interaction over all tokens, or the
            widest group's.
        pooled_share: of the cosine of the backbone's pooled vectors in what it teaches to all groups but the narrowest,
            which has half of each. On prose half of each is better than either (``benchmarks/mini/LOG.md``).
        alignment_weight: of each Meta Token's distance from the frozen backbone's states around its place, which
            needs ``positions: anchored`` and ``weighted_queries``; 0 leaves it out. With a ``start`` the states are
            turned to where it has them, so that it need not turn around.
        pooled_weight: of the same of the first Meta Token alone, whose target is the pooled vector; 0 leaves it out.
        chain: None, and each pair brings its hard negative into the batch. A number: it does not; instead up to so
            many pairs stand in a row of which the positive of one is the hard negative of another. That halves a
            step, which then may hold longer documents. ``per_document`` of a source goes before it.
        query_length, document_length: tokens read while training, Meta Tokens not included.
        document_windows: windows of ``document_length`` that are read of a document at most. With several, a page
            counts as the whole of them, as it does in an index.
        bf16: autocast to bfloat16, on processors that compute in it.
        gradient_checkpointing: compute activations twice instead of keeping them.
        attention: transformers' attention implementation.
        compile: compile the backbone's layers first, see ``compile_layers``.
        missing_negative: a pair without hard negative is left out ("drop") or given another pair's
            positive ("random"); either way it is reported.
        seed: of data order, initialisation and dropout.
        save_steps: steps between checkpoints, from which a run resumes.
        log_steps: steps between log lines; None is 10, or fewer where checkpoints come faster.
        tensorboard: write TensorBoard files beside metrics.jsonl.
        trainer: handed on to transformers' TrainingArguments; see ``TRAINER_KEYS``.
    """

    name: str
    sources: dict[str, Any]
    backbone: str = "all-MiniLM-L6-v2"
    model_type: str = "bert"
    dtype: Dtype | None = None
    query_tokens: int = 16
    document_tokens: int = 64
    dim: int | None = 128
    window: int = 256
    visual_tokens: int = 1024
    positions: Positions | None = None
    weighted_queries: bool = False
    pooled_text: bool = False
    first_projection: bool = False
    division_weights: Sequence[float] | None = None
    merged_tokens: int | None = None
    start: str | None = None
    rank: int = 32
    alpha: int = 32
    lora_dropout: float = 0.1
    backbone_dropout: float = 0.1
    steps: int = 4000
    batch_size: int = 32
    accumulation: int = 1
    mini_batch_size: int | None = None
    sub_batch: int | None = None
    gather: bool = True
    learning_rate: float = 1e-4
    warmup_steps: int = 500
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    groups: tuple[tuple[int, int], ...] = tuple((rung.query, rung.document) for rung in LADDER)
    weights: tuple[float, ...] | None = None
    temperature: float = 0.03
    similarity: Literal["sum", "mean"] = "mean"
    teacher_weight: float = 0.0
    nested_weight: float = 0.0
    lexical_share: float = 0.0
    pooled_share: float = 0.0
    alignment_weight: float = 0.0
    pooled_weight: float = 0.0
    query_length: int = 64
    document_length: int = 256
    document_windows: int = 1
    chain: int | None = None
    bf16: bool = True
    gradient_checkpointing: bool = False
    attention: str = "sdpa"
    compile: bool = False
    missing_negative: Literal["drop", "random"] = "random"
    seed: int = 0
    save_steps: int = 200
    log_steps: int | None = None
    tensorboard: bool = False
    trainer: dict[str, Any] = field(default_factory=dict)
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
        """Refuse values that would fail only after minutes of training.

        Raises:
            InputError: names the recipe, the entry and what to write instead.
        """
        where = f"recipe {path}"
        if not isinstance(self.sources, Mapping) or not self.sources:
            raise InputError(f"{where}: sources must map at least one file name to a number of pairs")
        try:
            for name, value in self.sources.items():
                Source.parse(str(name), value)
        except MetaEmbedError as error:
            raise InputError(f"{where}: {error}") from error
        for name in ("name", "backbone", "model_type", "attention"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise InputError(f"{where}: {name} must be a text, not {getattr(self, name)!r}")
        if self.start is not None and (not isinstance(self.start, str) or not self.start.strip()):
            raise InputError(f"{where}: start must be a model's name or folder, not {self.start!r}")
        for name in _COUNTS:
            _check_count(where, name, getattr(self, name), least=1)
        for name in _OPTIONAL_COUNTS:
            if getattr(self, name) is not None:
                _check_count(where, name, getattr(self, name), least=1)
        for name in ("warmup_steps", "seed"):
            _check_count(where, name, getattr(self, name), least=0)
        for name, (least, most) in _NUMBERS.items():
            _check_number(where, name, getattr(self, name), least, most)
        for name in ("learning_rate", "temperature"):
            if getattr(self, name) == 0:
                raise InputError(f"{where}: {name} must be above 0")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                known = " or ".join(repr(choice) for choice in choices)
                raise InputError(f"{where}: {name} must be {known}, not {getattr(self, name)!r}")
        for name in (
            "bf16",
            "compile",
            "first_projection",
            "gather",
            "gradient_checkpointing",
            "pooled_text",
            "tensorboard",
            "weighted_queries",
        ):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{where}: {name} must be true or false, not {getattr(self, name)!r}")
        self._validate_teachers(where)
        for name in ("teacher_weight", "nested_weight", "alignment_weight", "pooled_weight"):
            if getattr(self, name) and self.mini_batch_size is not None:
                raise InputError(f"{where}: {name} needs a whole batch at once; leave out mini_batch_size")
        if self.document_windows > 1 and self.mini_batch_size is not None:
            raise InputError(f"{where}: document_windows needs a whole batch at once; leave out mini_batch_size")
        anchored = self.positions == "anchored" and self.weighted_queries and self.dim is not None
        for name in ("alignment_weight", "pooled_weight"):
            if getattr(self, name) and not anchored:
                raise InputError(f"{where}: {name} needs positions: anchored, weighted_queries: true and a dim")
        for name in ("pooled_text", "first_projection"):
            if getattr(self, name) and self.positions != "anchored":
                raise InputError(f"{where}: {name} needs positions: anchored")
        if self.first_projection and self.dim is None:
            raise InputError(f"{where}: first_projection needs a dim")
        if self.division_weights is not None and (not self.weighted_queries or self.positions != "anchored"):
            raise InputError(f"{where}: division_weights need weighted_queries: true and positions: anchored")
        if self.merged_tokens is not None and self.alignment_weight:
            raise InputError(f"{where}: alignment_weight draws Meta Tokens to places; leave out merged_tokens")
        try:
            if self.division_weights is not None:
                check_division_weights(self.division_weights, self.query_tokens)
            if self.merged_tokens is not None:
                check_merged_tokens(self.merged_tokens, self.document_tokens)
        except ModelError as error:
            raise InputError(f"{where}: {error}") from error
        self._validate_groups(where)
        if not isinstance(self.trainer, Mapping):
            raise InputError(f"{where}: trainer must be a mapping of transformers' TrainingArguments")
        unknown = sorted(set(self.trainer) - TRAINER_KEYS, key=str)
        if unknown:
            raise InputError(
                f"{where}: trainer does not hand on {unknown}; it knows {sorted(TRAINER_KEYS)}, and steps, batches, "
                "rates and precision are entries of the recipe itself"
            )

    @property
    def asks_backbone(self) -> bool:
        """Whether the frozen backbone teaches."""
        return any((self.teacher_weight, self.alignment_weight, self.pooled_weight))

    def teacher_of(self, source: str) -> Teacher | None:
        """Who teaches a source's pairs: whom it names, or the one teacher that there is."""
        named = Source.parse(source, self.sources[source]).teacher
        if named is not None:
            return named
        if self.asks_backbone:
            return "backbone"
        return "widest" if self.nested_weight else None

    def _validate_teachers(self, where: str) -> None:
        weights = {"backbone": self.asks_backbone, "widest": self.nested_weight, "start": self.nested_weight}
        for name, value in self.sources.items():
            teacher = Source.parse(str(name), value).teacher
            if teacher is None and all(weights.values()):
                raise InputError(
                    f"{where}: the frozen backbone and the widest group both teach; give source {name!r} a teacher, "
                    "backbone, widest or start"
                )
            if teacher is not None and not weights[teacher]:
                entry = "teacher_weight" if teacher == "backbone" else "nested_weight"
                raise InputError(f"{where}: source {name!r} has the teacher {teacher!r}, and {entry} is 0; raise it")
            if teacher == "start" and self.start is None:
                raise InputError(f"{where}: source {name!r} is taught by start, and there is none; give a model there")
        if self.sub_batch is not None and len({self.teacher_of(str(name)) for name in self.sources}) > 1:
            raise InputError(f"{where}: with two teachers a step has pairs of one source; leave out sub_batch")

    def _validate_groups(self, where: str) -> None:
        groups = self.groups
        if not isinstance(groups, (list, tuple)) or not groups:
            raise InputError(f"{where}: groups must be a list of pairs such as [[1, 1], [16, 64]], not {groups!r}")
        for pair in groups:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise InputError(f"{where}: a group is a pair of Meta Tokens such as [4, 8], not {pair!r}")
            for side, count, most in zip(
                ("query", "document"), pair, (self.query_tokens, self.document_tokens), strict=True
            ):
                _check_count(where, f"the {side} side of group {list(pair)}", count, least=1)
                if count > most:
                    raise InputError(
                        f"{where}: group {list(pair)} exceeds {side}_tokens = {most}; raise it or narrow it"
                    )
        for narrow, wide in pairwise(groups):
            if tuple(narrow) == tuple(wide) or narrow[0] > wide[0] or narrow[1] > wide[1]:
                raise InputError(f"{where}: groups must be nested, narrowest first; {narrow} is not inside {wide}")
        if self.weights is not None:
            if not isinstance(self.weights, (list, tuple)) or len(self.weights) != len(groups):
                raise InputError(f"{where}: weights must be {len(groups)} numbers, one a group, not {self.weights!r}")
            for weight in self.weights:
                _check_number(where, "weights", weight, 0.0, float("inf"))
            if not sum(self.weights) > 0:
                raise InputError(f"{where}: one of the weights must be above 0")


_COUNTS = (
    "query_tokens",
    "document_tokens",
    "window",
    "visual_tokens",
    "rank",
    "alpha",
    "steps",
    "batch_size",
    "accumulation",
    "query_length",
    "document_length",
    "document_windows",
    "save_steps",
)
_OPTIONAL_COUNTS = ("dim", "mini_batch_size", "sub_batch", "log_steps", "chain")
_NUMBERS = {
    "learning_rate": (0.0, 1.0),
    "temperature": (0.0, float("inf")),
    "teacher_weight": (0.0, float("inf")),
    "nested_weight": (0.0, float("inf")),
    "lexical_share": (0.0, 1.0),
    "pooled_share": (0.0, 1.0),
    "alignment_weight": (0.0, float("inf")),
    "pooled_weight": (0.0, float("inf")),
    "lora_dropout": (0.0, 0.99),
    "backbone_dropout": (0.0, 0.99),
}
_CHOICES = {
    "similarity": ("sum", "mean"),
    "positions": (None, *get_args(Positions)),
    "missing_negative": ("drop", "random"),
    "scheduler": ("cosine", "linear", "constant"),
    "dtype": (None, *get_args(Dtype)),
}


def _check_count(where: str, name: str, value: Any, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{where}: {name} must be a whole number of at least {least}, not {value!r}")


def _check_number(where: str, name: str, value: Any, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        # YAML 1.1 reads 1e-4 as a text; 0.0001 and 1.0e-4 are numbers.
        hint = " (write 1.0e-4, not 1e-4)" if isinstance(value, str) else ""
        raise InputError(f"{where}: {name} must be a number from {least} to {most}, not {value!r}{hint}")


def find_recipe(name: str) -> Path:
    """A recipe file, or a packaged recipe by name.

    Raises:
        InputError: neither exists.
    """
    path = Path(name)
    if path.is_file():
        return path
    packaged = Path(__file__).parent / "recipes"
    if name.replace("-", "_").isidentifier() and (packaged / f"{name}.yaml").is_file():
        return packaged / f"{name}.yaml"
    names = ", ".join(sorted(file.stem for file in packaged.glob("*.yaml")))
    raise InputError(f"no recipe {name!r}: give a YAML file or one of: {names}")
