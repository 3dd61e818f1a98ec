"""What an entry of the family table says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from metaembed_rag.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Features: TypeAlias = "dict[str, Any]"

#: A rule for the rows that serve as Meta Tokens: (tokenizer, rows of the embedding, wanted) -> row numbers.
Reserve: TypeAlias = Callable[[Any, int, int], list[int]]

#: The linear layers of a decoder that get LoRA weights (arXiv 2509.18095), under the language model only.
DECODER_LORA = r".*language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@dataclass(frozen=True, slots=True)
class Pictures:
    """What an image processor made of the pictures of a batch.

    Attributes:
        features: what the backbone's ``forward`` takes, one entry a row that has a picture unless the family
            says otherwise.
        tokens: placeholders that stand for each picture in the input ids.
    """

    features: dict[str, Tensor]
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Vision:
    """How a backbone sees.

    Attributes:
        layout: the prompt around ``{picture}`` and ``{text}``, in the backbone's own special tokens, for queries
            and documents alike: which of them a row is, its Meta Tokens say.
        picture: what ``{picture}`` becomes around ``{tokens}``, the placeholders.
        limit: (image processor, backbone config, visual tokens): bound what one picture may cost.
        process: (image processor, backbone config, pictures, which rows they belong to, number of rows).
        inputs: (backbone, features, number of Meta Tokens): what ``forward`` needs besides the features,
            such as positions; runs on the backbone's device.
        prepare: called once with the backbone after it is loaded.
    """

    layout: str
    picture: str
    limit: Callable[[Any, Any, int], None]
    process: Callable[[Any, Any, Sequence[Image], Sequence[int], int], Pictures]
    inputs: Callable[[Any, Features, int], dict[str, Any]]
    prepare: Callable[[Any], None] | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """How a kind of backbone takes Meta Tokens.

    Attributes:
        reserve: finds the vocabulary rows that the backbone's pretraining left unused.
        lora_targets: pattern of the linear layers that get a low-rank adapter, matched against their full names.
        embedding: name of the input embedding module, whose Meta Token rows are trained.
        prefix_attention: the backbone is bidirectional, so nesting needs a mask (see ``tokens``). Causal
            backbones nest by themselves.
        positions: of Meta Tokens on a bidirectional backbone, where its config names none: "fixed" or "running" on
            after the text (rotary).
        padding: side on which shorter rows are filled; "left" on causal backbones.
        vision: how it sees; None for text backbones, which read pictures by character recognition.
    """

    reserve: Reserve
    lora_targets: str
    embedding: str
    prefix_attention: bool = False
    positions: Literal["fixed", "running"] = "running"
    padding: Literal["left", "right"] = "left"
    vision: Vision | None = None


def named_rows(*patterns: str) -> Reserve:
    """Rows that the vocabulary itself names as unused.

    Args:
        patterns: how entry ``{n}`` may be called, for n = 0, 1, ...; the first pattern that names enough is taken.
    """

    def find(tokenizer: Any, rows: int, count: int) -> list[int]:
        vocabulary = tokenizer.get_vocab()
        for pattern in patterns:
            names = [pattern.format(n=n) for n in range(count)]
            if all(name in vocabulary for name in names):
                return [int(vocabulary[name]) for name in names]
        wanted = " or ".join(pattern.format(n=count - 1) for pattern in patterns)
        raise ModelError(f"it reserves too few tokens for {count} Meta Tokens: its vocabulary has no {wanted}")

    return find


def spare_rows(tokenizer: Any, rows: int, count: int) -> list[int]:
    """The last rows of an embedding matrix that is longer than its tokenizer's vocabulary.

    From the end, which a later tokenizer with a few more tokens reaches last.
    """
    spare = rows - (max(tokenizer.get_vocab().values()) + 1)
    if spare < count:
        raise ModelError(
            f"it reserves too few rows for {count} Meta Tokens: its embedding has {max(spare, 0)} beyond the "
            "tokenizer's vocabulary; choose fewer Meta Tokens (query_tokens, document_tokens)"
        )
    return list(range(rows - count, rows))


def check_fixed_cost(cost: int, visual_tokens: int) -> None:
    """Refuse a budget that a backbone whose pictures all cost the same cannot meet.

    Raises:
        ModelError: it says which ``visual_tokens`` would do.
    """
    if cost > visual_tokens:
        raise ModelError(
            f"each picture costs {cost} visual tokens, more than visual_tokens={visual_tokens}: set "
            f"visual_tokens={cost}, or take a backbone of lower resolution"
        )


def running_positions(attention_mask: Tensor) -> Tensor:
    """Position of each token among those that are not padding, from 0: ``[n, tokens]`` -> ``[n, tokens]``."""
    return (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)
