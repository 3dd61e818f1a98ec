"""The modules that make a text backbone a MetaEmbed model: append Meta Tokens, then select, project, normalise.

Data flow: ``texts -> MetaTokenTransformer -> token_embeddings [n, tokens, hidden] -> MetaTokenHead ->
token_embeddings [n, budget, dim]``. Both plug into sentence-transformers' ``MultiVectorEncoder``. Backbones that
see have ``metaembed_rag.embedding.vision`` in the transformer's place.

Attention of a bidirectional backbone (``prefix_attention``): text attends to text only, and Meta Token i
attends to the text and to Meta Tokens 0..i. So the first r rows of an embedding are the same whether r or
all Meta Tokens are appended, exactly as under the causal attention of the paper (arXiv 2509.18095), and a
small budget costs less to encode. Causal backbones have both properties by themselves. A model that merges document
Meta Tokens appends all that it merges even where fewer are asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from sentence_transformers.base.modules import Module, Transformer
from torch import Tensor, nn

from metaembed_rag.embedding.cells import cell_means
from metaembed_rag.embedding.config import Positions
from metaembed_rag.embedding.divisions import token_weights
from metaembed_rag.embedding.masks import additive_mask, prefix_attention_mask, sliding_window_mask
from metaembed_rag.embedding.merging import merge_first
from metaembed_rag.embedding.positions import meta_positions
from metaembed_rag.errors import InputError

#: Key under which the number of appended Meta Tokens travels from one module to the other.
META_TOKENS = "meta_tokens"
#: Key under which it travels how many of them are wanted; all, where it is missing.
WANTED = "wanted_tokens"
#: Key under which it travels whether they are a query's.
ASKING = "asking"


class MetaTokenInput:
    """What the input modules of all backbones share.

    Attributes:
        query_token_ids: vocabulary rows of the query Meta Tokens, coarse to fine.
        document_token_ids: vocabulary rows of the document Meta Tokens, coarse to fine.
        merged_tokens: document Meta Tokens that the head merges, so that none of them can be left out; see
            ``ModelConfig``.
        model: the backbone, with or without adapter.
    """

    query_token_ids: list[int]
    document_token_ids: list[int]
    merged_tokens: int | None = None
    model: Any

    @property
    def words(self) -> Any:
        """The backbone's tokenizer, which sentence-transformers types as perhaps something else."""
        return cast("Any", self).tokenizer

    def capacity(self, task: str) -> int:
        """Tokens of text that one input of ``task`` holds, special tokens and Meta Tokens not counted."""
        raise NotImplementedError

    def get_embedding_dimension(self) -> int:
        """Width of the backbone's states."""
        raise NotImplementedError

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """``(start, end)`` characters of each token of ``text``, without special tokens."""
        encoding = self.words(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [(int(start), int(end)) for start, end in encoding["offset_mapping"]]

    def meta_tokens(self, task: str | None, budget: int | None) -> tuple[list[int], dict[str, Any]]:
        """Which Meta Tokens to append where the first ``budget`` of ``task`` ("query" or "document") are wanted.

        Args:
            task: whose; None is a document.
            budget: None wants all of them.

        Returns:
            Their vocabulary rows, and what the head is told about them.

        Raises:
            InputError: the backbone has fewer.
        """
        asking = task == "query"
        ids = self.query_token_ids if asking else self.document_token_ids
        wanted = len(ids) if budget is None else budget
        if not 1 <= wanted <= len(ids):
            raise InputError(f"budget: {task or 'document'} has 1 to {len(ids)} Meta Tokens, not {wanted}")
        ids = ids[: wanted if asking else max(wanted, self.merged_tokens or 0)]
        return ids, {META_TOKENS: len(ids), WANTED: wanted, ASKING: asking}


class MetaTokenTransformer(Transformer, MetaTokenInput):
    """A text backbone whose inputs end in Meta Tokens.

    Args:
        model_name_or_path: the backbone, as transformers takes it.
        query_token_ids: vocabulary rows of the query Meta Tokens, coarse to fine.
        document_token_ids: vocabulary rows of the document Meta Tokens, coarse to fine.
        prefix_attention: build the mask described above; for bidirectional backbones only.
        positions: of Meta Tokens: "fixed" at 0, "running" on after the text, or "anchored" in it; see
            ``metaembed_rag.embedding.config.Positions``.
        merged_tokens: see ``MetaTokenInput``.
        kwargs: as for sentence-transformers' Transformer.
    """

    config_keys: list[str] = [  # noqa: RUF012 - as the base class declares it
        *Transformer.config_keys,
        "query_token_ids",
        "document_token_ids",
        "prefix_attention",
        "positions",
        "merged_tokens",
    ]
    # ``budget`` is read by ``preprocess``; naming it here lets ``encode(..., budget=4)`` pass it on.
    forward_kwargs: set[str] = {"budget"}  # noqa: RUF012 - as the base class declares it

    def __init__(
        self,
        model_name_or_path: str,
        *,
        query_token_ids: Sequence[int],
        document_token_ids: Sequence[int],
        prefix_attention: bool,
        positions: Positions = "fixed",
        merged_tokens: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model_name_or_path, **kwargs)
        self.merged_tokens = merged_tokens
        self.query_token_ids = list(query_token_ids)
        self.document_token_ids = list(document_token_ids)
        self.prefix_attention = prefix_attention
        self.positions = positions

    def capacity(self, task: str) -> int:
        """``max_seq_length`` less the special tokens."""
        return int(self.words.model_max_length - self.words.num_special_tokens_to_add())

    def preprocess(
        self,
        inputs: Sequence[Any],
        prompt: str | None = None,
        processing_kwargs: Any = None,
        *,
        task: str | None = None,
        budget: int | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Tokenise, then append the first ``budget`` Meta Tokens of ``task`` ("query" or "document")."""
        features = super().preprocess(inputs, prompt=prompt, processing_kwargs=processing_kwargs, task=task, **kwargs)
        if not features:
            return features
        ids, told = self.meta_tokens(task, budget)
        return {**features, **self._append(features, torch.tensor(ids)), **told}

    def forward(self, features: dict[str, Any], *, budget: int | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the backbone on what ``preprocess`` made; the module docstring says who attends to whom."""
        if self.prefix_attention:
            kwargs["attention_mask"] = self._masks(features["attention_mask"], features[META_TOKENS])
        if self.positions == "anchored":
            kwargs |= {"input_ids": None, "inputs_embeds": self._anchored(features)}
        return super().forward(features, **kwargs)

    def _masks(self, padding: Tensor, count: int) -> Tensor | dict[str, Tensor]:
        """The additive mask, or one for each kind of layer where some attend within a sliding window only."""
        allowed = prefix_attention_mask(padding, count)
        full = additive_mask(allowed, self.model.dtype)
        if "sliding_attention" not in (getattr(self.config, "layer_types", None) or ()):
            return full
        near = sliding_window_mask(padding.shape[1], count, self.config.sliding_window, device=padding.device)
        return {"full_attention": full, "sliding_attention": additive_mask(allowed & near, self.model.dtype)}

    def _anchored(self, features: dict[str, Any]) -> Tensor:
        """Input rows ``[n, tokens, hidden]`` in which a Meta Token's own is added to that of the word at its place."""
        rows: Tensor = self.model.get_input_embeddings()(features["input_ids"])
        count = features[META_TOKENS]
        places = features["position_ids"][:, -count:]
        words = rows.gather(1, places.unsqueeze(-1).expand(-1, -1, rows.shape[-1]))
        return torch.cat([rows[:, :-count], rows[:, -count:] + words], dim=1)

    def _append(self, features: dict[str, Any], token_ids: Tensor) -> dict[str, Tensor]:
        mask = features["attention_mask"]
        input_ids = self._without_meta_tokens(features["input_ids"])
        rows, count = input_ids.shape[0], len(token_ids)
        appended = {
            "input_ids": torch.cat([input_ids, token_ids.expand(rows, -1)], dim=1),
            "attention_mask": torch.cat([mask, mask.new_ones(rows, count)], dim=1),
        }
        if "token_type_ids" in features:
            types = features["token_type_ids"]
            appended["token_type_ids"] = torch.cat([types, types.new_zeros(rows, count)], dim=1)
        if self.prefix_attention:
            positions = torch.arange(input_ids.shape[1]).expand(rows, -1)
            meta = meta_positions(mask.sum(dim=1), count, self.positions)
            appended["position_ids"] = torch.cat([positions, meta], dim=1)
        return appended

    def _without_meta_tokens(self, input_ids: Tensor) -> Tensor:
        """Some tokenizers read the name of a reserved entry as that entry; in a text it is unknown."""
        reserved = torch.tensor([*self.query_token_ids, *self.document_token_ids])
        unknown = self.words.unk_token_id
        replacement = self.words.pad_token_id if unknown is None else unknown
        return input_ids.masked_fill(torch.isin(input_ids, reserved), replacement)


class MetaTokenHead(Module):
    """Select the Meta Tokens' last-layer states, project them to ``dim`` and L2-normalise each row.

    With ``pooled_text`` the mean of the text's last-layer states in its cell is added to each Meta Token's first.

    Args:
        hidden: width of the backbone's states.
        dim: width of the embedding; None keeps the states as they are (the paper's main runs).
        weighted_queries, pooled_text, first_projection, division_weights, merged_tokens: see ``ModelConfig``.
    """

    config_keys: list[str] = [  # noqa: RUF012 - as the base class declares it
        "hidden",
        "dim",
        "weighted_queries",
        "pooled_text",
        "first_projection",
        "division_weights",
        "merged_tokens",
    ]

    def __init__(
        self,
        hidden: int,
        dim: int | None = None,
        *,
        weighted_queries: bool = False,
        pooled_text: bool = False,
        first_projection: bool = False,
        division_weights: Sequence[float] | None = None,
        merged_tokens: int | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.hidden = hidden
        self.dim = dim
        self.weighted_queries = weighted_queries
        self.pooled_text = pooled_text
        self.projection = None if dim is None else nn.Linear(hidden, dim, bias=False)
        self.first_projection = first_projection
        if self.projection is not None:
            # An orthogonal map keeps angles as well as dim < hidden allows: training starts from the
            # backbone's own geometry.
            nn.init.orthogonal_(self.projection.weight)
        # It starts as the other, since MaxSim compares the first Meta Token with the others too.
        self.first = copy.deepcopy(self.projection) if first_projection else None
        self.division_weights = division_weights
        self.merged_tokens = merged_tokens

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """``token_embeddings [n, tokens, hidden]`` becomes ``[n, budget, dim]``, every row of unit length."""
        count = features[META_TOKENS]
        states = features["token_embeddings"][:, -count:]
        if self.pooled_text:
            # Attention showed it the layer before; what the last layer made of the text is there for nothing.
            text = features["token_embeddings"][:, :-count]
            states = states + cell_means(text, features["attention_mask"][:, :-count], count)
        rows = self.embed(states, asking=features[ASKING])[:, : features.get(WANTED, count)]
        features["token_embeddings"] = rows
        features["attention_mask"] = rows.new_ones(rows.shape[:2], dtype=torch.bool)
        return features

    def embed(self, states: Tensor, *, asking: bool) -> Tensor:
        """States ``[..., k, hidden]`` of the first k Meta Tokens of a query (``asking``) or a document -> unit rows
        ``[..., k, dim]``. Of a document k is at least ``merged_tokens``.
        """
        rows = self.embed_text(states if self.first is None else states[..., 1:, :], asking=asking)
        if self.first is not None:
            rows = torch.cat([self._project(self.first, states[..., :1, :], asking=asking), rows], dim=-2)
        if asking:
            return self._weigh(rows, self.division_weights) if self.division_weights else rows
        return merge_first(rows, self.merged_tokens) if self.merged_tokens else rows

    def embed_text(self, states: Tensor, *, asking: bool) -> Tensor:
        """The text's own last-layer states ``[..., hidden]`` -> unit rows ``[..., dim]``, beside those of ``embed``.

        A word is a part of the text, so it shares the projection of all Meta Tokens but the first.
        """
        return self._project(self.projection, states, asking=asking)

    def _project(self, projection: nn.Linear | None, states: Tensor, *, asking: bool) -> Tensor:
        if projection is not None:
            states = projection(states.to(projection.weight.dtype))
        if self.weighted_queries and not asking:
            # Exactly 0, not learned to be small: MaxSim takes the largest of whatever noise is left there, once for
            # every query token, and ranks documents by it.
            states = nn.functional.pad(states[..., :-1], (0, 1))
        return nn.functional.normalize(states.float(), dim=-1)

    def _weigh(self, rows: Tensor, weights: Sequence[float]) -> Tensor:
        """A query's rows, which score so many times what they did and are of unit length still."""
        scoring = rows[..., :-1] * rows.new_tensor(token_weights(weights, rows.shape[-2])).unsqueeze(-1)
        # A row with nothing left to fill would have an infinite gradient there.
        rest = (1 - scoring.square().sum(dim=-1, keepdim=True)).clamp(min=1e-6).sqrt()
        return torch.cat([scoring, rest], dim=-1)

    def get_embedding_dimension(self) -> int:
        return self.dim or self.hidden

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> MetaTokenHead:
        """Read what ``save`` wrote; arguments as in sentence-transformers' own modules."""
        source: dict[str, Any] = {
            "subfolder": subfolder,
            "token": token,
            "cache_folder": cache_folder,
            "revision": revision,
            "local_files_only": local_files_only,
        }
        head = cls(**{**(init_defaults or {}), **cls.load_config(model_name_or_path, **source)})
        if head.projection is not None:
            cls.load_torch_weights(model_name_or_path, model=head, **source)
        return head
