"""What a model folder says about itself: ``metaembed.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from metaembed_rag.budget import LADDER
from metaembed_rag.embedding.divisions import divisions
from metaembed_rag.errors import ModelError

CONFIG_FILE = "metaembed.json"
FORMAT = 1
#: Bounds that keep a malformed file from taking all memory, or from cutting texts forever.
_LEAST_WINDOW, _MOST = 16, 131_072

#: Where Meta Tokens stand on a bidirectional backbone.
#: "fixed": all at 0, which their learned rows absorb, so that neither padding nor text length moves them.
#: "running": on behind each text, wherever its padding ends; for rotary positions.
#: "anchored": spread over the text, coarse to fine: the first at 0 for all of it, the others at bit-reversed fractions
#: of its length, and each input is the learned row of the Meta Token plus that of the word at its place. Every prefix
#: covers the text evenly, and each Meta Token has a part of it to stand for, from the first step of training on.
Positions = Literal["fixed", "running", "anchored"]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Everything needed to rebuild a model around its backbone.

    Attributes:
        name: what the model is called in an index.
        backbone: see ``resolve_backbone``.
        model_type: the backbone's transformers ``model_type``: a key of the family table.
        query_tokens: query Meta Tokens.
        document_tokens: document Meta Tokens.
        dim: width of each vector; None keeps the backbone's hidden size.
        window: tokens of text read at once, special tokens included, Meta Tokens not; on a backbone that sees,
            the prompt and the picture are not counted either.
        similarity: what a score is over query tokens, "sum" or "mean"; the order of results is the same.
        visual_tokens: what one picture may cost a backbone that sees.
        groups: the budgets that were trained, narrowest first.
        query_prompt, document_prompt: what stands ahead of each text, for models trained with it.
        positions: of Meta Tokens on a bidirectional backbone, see ``Positions``; None is its family's own.
        weighted_queries: the last direction belongs to queries alone; documents are 0 there. Late interaction counts
            every query token alike: one that is ``[w u, sqrt(1 - w^2)]`` scores w u.v with a document's ``[v, 0]``,
            and is still of unit length, for any engine that compares by cosine.
        pooled_text: to each Meta Token's state the mean of the text's in its cell is added, see
            ``metaembed_rag.embedding.cells``; for anchored positions. Late interaction lives on what single words
            became in context, of which a Meta Token sees the layer before the last.
        first_projection: the first Meta Token has a projection of its own; for anchored positions. What one vector must
            hold of a whole text is not what each of 48 must hold of a part.
        division_weights: how much a query's Meta Tokens count, above 0 and up to 1: the first, then those of each of
            ``metaembed_rag.embedding.divisions``; for anchored positions and weighted_queries. Without them twelve
            twelfths of a question outvote the whole of it.
        merged_tokens: so many document Meta Tokens, from the first on, are merged into half as many, which come
            first, see ``metaembed_rag.embedding.merging``; even, 4 or more. None merges none.
        query_adapter: queries are read with LoRA weights of their own on top of those for documents, in the model
            folder's ``query``; for text backbones.
    """

    name: str
    backbone: str
    model_type: str = "bert"
    query_tokens: int = 16
    document_tokens: int = 64
    dim: int | None = 128
    window: int = 256
    similarity: Literal["sum", "mean"] = "sum"
    visual_tokens: int = 1024
    groups: tuple[tuple[int, int], ...] = tuple((rung.query, rung.document) for rung in LADDER)
    query_prompt: str = ""
    document_prompt: str = ""
    positions: Positions | None = None
    weighted_queries: bool = False
    pooled_text: bool = False
    first_projection: bool = False
    division_weights: tuple[float, ...] | None = None
    merged_tokens: int | None = None
    query_adapter: bool = False

    def __post_init__(self) -> None:
        for name in ("name", "backbone", "model_type", "query_prompt", "document_prompt"):
            text = getattr(self, name)
            if not isinstance(text, str):
                raise ModelError(f"{name} must be text, not {text!r}")
        if self.similarity not in ("sum", "mean"):
            raise ModelError(f"similarity must be 'sum' or 'mean', not {self.similarity!r}")
        if self.positions is not None and self.positions not in get_args(Positions):
            raise ModelError(f"positions must be one of {list(get_args(Positions))} or null, not {self.positions!r}")
        for name in ("weighted_queries", "pooled_text", "first_projection", "query_adapter"):
            if not isinstance(getattr(self, name), bool):
                raise ModelError(f"{name} must be true or false, not {getattr(self, name)!r}")
        for name in ("pooled_text", "first_projection"):
            if getattr(self, name) and self.positions != "anchored":
                raise ModelError(f"{name} needs positions: 'anchored', not {self.positions!r}")
        if self.first_projection and self.dim is None:
            raise ModelError("first_projection needs a dim")
        counts = {"query_tokens": self.query_tokens, "document_tokens": self.document_tokens, "window": self.window}
        counts |= {"visual_tokens": self.visual_tokens} | ({} if self.dim is None else {"dim": self.dim})
        for name, value in counts.items():
            least = _LEAST_WINDOW if name == "window" else 1
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST:
                raise ModelError(f"{name} must be a whole number from {least} to {_MOST:,}, not {value!r}")
        if self.division_weights is not None:
            if not self.weighted_queries or self.positions != "anchored":
                raise ModelError("division_weights need weighted_queries: true and positions: 'anchored'")
            check_division_weights(self.division_weights, self.query_tokens)
        if self.merged_tokens is not None:
            check_merged_tokens(self.merged_tokens, self.document_tokens)

    def save(self, folder: Path) -> None:
        content = {"format": FORMAT, **asdict(self)}
        (folder / CONFIG_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> ModelConfig:
        """Read ``metaembed.json``.

        Raises:
            ModelError: it is missing, malformed, or of a format this version does not know.
        """
        path = folder / CONFIG_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"{folder} holds no {CONFIG_FILE}: not a MetaEmbed model folder") from None
        except ValueError as error:
            raise ModelError(f"{path} is not valid JSON: {error}") from error
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise ModelError(f"{path} is not of format {FORMAT}; upgrade metaembed-rag to read it")
        unknown = set(content) - {field.name for field in fields(cls)}
        if unknown:
            raise ModelError(f"{path} has unknown entries {sorted(unknown)}; upgrade metaembed-rag to read it")
        try:
            groups = {"groups": tuple((int(q), int(d)) for q, d in content["groups"])} if "groups" in content else {}
            if isinstance(content.get("division_weights"), list):
                content["division_weights"] = tuple(content["division_weights"])
            return cls(**{**content, **groups})
        except (TypeError, ValueError) as error:
            raise ModelError(f"{path} is incomplete or malformed: {error}") from error
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error


def check_division_weights(weights: Any, query_tokens: int) -> None:
    """Raise ModelError unless there is one weight for the first query Meta Token and one for each division."""
    count = 1 + len(divisions(query_tokens))
    if (
        not isinstance(weights, (list, tuple))
        or len(weights) != count
        or not all(isinstance(weight, (int, float)) and not isinstance(weight, bool) for weight in weights)
        or not all(0 < weight <= 1 for weight in weights)
    ):
        raise ModelError(f"division_weights must be {count} numbers above 0 and up to 1, not {weights!r}")


def check_merged_tokens(merged: Any, document_tokens: int) -> None:
    """Raise ModelError unless so many of the document Meta Tokens can be merged."""
    whole = isinstance(merged, int) and not isinstance(merged, bool)
    if not whole or merged % 2 or not 4 <= merged <= document_tokens:
        raise ModelError(
            f"merged_tokens must be an even number from 4 to the {document_tokens} document_tokens, not {merged!r}"
        )
