"""Backbones that see: prompt, pictures and Meta Tokens in, last-layer states out.

Tokenizer and image processor are loaded apart. transformers' own processors would add a video processor, which needs
torchvision, and their prompts would read the special tokens that a document's text may name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from peft import PeftModel
from sentence_transformers.base.modules.input_module import InputModule
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from metaembed_rag.embedding.families import Family, Vision, family_of
from metaembed_rag.embedding.families.family import Pictures
from metaembed_rag.embedding.inputs import Sample, to_sample
from metaembed_rag.embedding.tokens import ASKING, META_TOKENS, WANTED, MetaTokenInput

#: Entries of a batch that are no input of the backbone.
_BOOKKEEPING = {META_TOKENS, WANTED, ASKING, "num_images_per_sample", "token_embeddings", "task", "modality"}


class MetaTokenVisionTransformer(InputModule, MetaTokenInput):
    """A vision-language backbone whose inputs end in Meta Tokens.

    Attention is causal over Meta Tokens in every family, so a query appends only the Meta Tokens its budget needs
    and a document only its own: the rows equal the first rows of the whole.

    Args:
        folder: the backbone.
        model_type: a key of the family table.
        query_token_ids, document_token_ids: vocabulary rows of the Meta Tokens, coarse to fine.
        max_seq_length: tokens of text in one input; prompt, picture and Meta Tokens come on top.
        visual_tokens: what one picture may cost at most.
        model_kwargs: for ``AutoModel.from_pretrained``.

    Attributes:
        placeholder_images: while training, let a blank picture that no score depends on stand in a batch without
            pictures, so that the vision encoder runs on every process (arXiv 2509.18095).
    """

    config_file_name: str = "metaembed_vision.json"
    config_keys: list[str] = [  # noqa: RUF012 - as the base class declares it
        "model_type",
        "query_token_ids",
        "document_token_ids",
        "max_seq_length",
        "visual_tokens",
        "merged_tokens",
    ]
    forward_kwargs: set[str] = {"budget"}  # noqa: RUF012 - as the base class declares it

    def __init__(
        self,
        folder: str,
        *,
        model_type: str,
        query_token_ids: Sequence[int],
        document_token_ids: Sequence[int],
        max_seq_length: int,
        visual_tokens: int,
        merged_tokens: int | None = None,
        model_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model_type = model_type
        self.family: Family = family_of(model_type)
        self.query_token_ids = list(query_token_ids)
        self.document_token_ids = list(document_token_ids)
        self.max_seq_length = max_seq_length
        self.visual_tokens = visual_tokens
        self.merged_tokens = merged_tokens
        self.placeholder_images = False
        data: dict[str, Any] = {"trust_remote_code": False}
        self.model = AutoModel.from_pretrained(folder, use_safetensors=True, **data, **(model_kwargs or {}))
        self.tokenizer = AutoTokenizer.from_pretrained(folder, **data)
        self.image_processor: Any = AutoImageProcessor.from_pretrained(folder, **data)  # type: ignore[no-untyped-call]
        self.vision.limit(self.image_processor, self.model.config, visual_tokens)
        if self.vision.prepare is not None:
            self.vision.prepare(self.model)
        self._layout = self._parse_layout()

    @property
    def vision(self) -> Vision:
        return cast("Vision", self.family.vision)

    @property
    def backbone(self) -> Any:
        """The transformers model, whatever adapter is around it."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    @property
    def modalities(self) -> list[Any]:
        # "message" lets batches of texts and pictures through to ``preprocess``, which knows how to read them.
        return ["text", "image", ("image", "text"), "message"]

    def capacity(self, task: str) -> int:
        """``max_seq_length``: the prompt around the text is not counted."""
        return self.max_seq_length

    def get_embedding_dimension(self) -> int:
        return int(self.backbone.config.get_text_config().hidden_size)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        encoding = self._tokenize([text], return_offsets_mapping=True)
        return [(int(start), int(end)) for start, end in encoding["offset_mapping"][0]]

    def preprocess(
        self,
        inputs: Sequence[Any],
        prompt: str | None = None,
        *,
        task: str | None = None,
        budget: int | None = None,
        max_length: int | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Lay out, tokenise and pad on the left, then append the first ``budget`` Meta Tokens of ``task``.

        Args:
            inputs: texts, PIL pictures, Pages, Samples, or mappings with "text", "image" or both.
            prompt: stands before each text.
            task: "query" or "document".
            budget: Meta Tokens; None for all of the task's.
            max_length: tokens of text read; None for ``max_seq_length``.

        Raises:
            InputError: see ``to_sample``.
        """
        if not inputs:
            return {}
        what = "a query" if task == "query" else "a document"
        samples = [item if isinstance(item, Sample) else to_sample(item, what) for item in inputs]
        texts = [f"{prompt or ''}{sample.prompt}" for sample in samples]
        limit = min(max_length or self.max_seq_length, self.max_seq_length)
        rows = [index for index, sample in enumerate(samples) if sample.picture is not None]
        pictures = self._see([sample.picture for sample in samples if sample.picture is not None], rows, len(samples))
        costs = dict(zip(rows, pictures.tokens, strict=True))
        meta, told = self.meta_tokens(task, budget)
        ids = [
            [*self._fill_layout(self._plain(text[:limit]), costs.get(index)), *meta]
            for index, text in enumerate(self._tokenize(texts)["input_ids"])
        ]
        features: dict[str, Any] = {
            **self._pad(ids),
            **pictures.features,
            **told,
        }
        if rows:
            # How sentence-transformers' gradient cache finds the pictures of a part of a batch.
            features["num_images_per_sample"] = torch.tensor([int(index in costs) for index in range(len(samples))])
        return features

    def forward(self, features: dict[str, Any], *, budget: int | None = None, **kwargs: Any) -> dict[str, Any]:
        """``token_embeddings [n, tokens, hidden]``: the last layer's states."""
        inputs = {key: value for key, value in features.items() if key not in _BOOKKEEPING}
        stands_in = self.training and self.placeholder_images and "pixel_values" not in inputs
        if stands_in:
            inputs = self._with_placeholder(inputs, features[META_TOKENS])
        backbone = self.backbone
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(backbone.dtype)
        inputs.update(self.vision.inputs(backbone, inputs, features[META_TOKENS]))
        states = self.model(**inputs, use_cache=False).last_hidden_state
        features["token_embeddings"] = states[:-1] if stands_in else states
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.model.save_pretrained(output_path)
        self.words.save_pretrained(output_path)
        self.image_processor.save_pretrained(output_path)
        self.save_config(output_path)

    @classmethod
    def load(cls, model_name_or_path: str, *args: Any, **kwargs: Any) -> MetaTokenVisionTransformer:
        """Read what ``save`` wrote; ``model_kwargs`` are passed on."""
        return cls(model_name_or_path, model_kwargs=kwargs.get("model_kwargs"), **cls.load_config(model_name_or_path))

    def _tokenize(self, texts: list[str], **kwargs: Any) -> Any:
        # Texts are untrusted: in them the names of special tokens are letters like any other.
        return self.words(texts, add_special_tokens=False, split_special_tokens=True, verbose=False, **kwargs)

    def _plain(self, ids: list[int]) -> list[int]:
        """Tokenizers may read the name of a reserved entry as that entry all the same; such tokens are left out."""
        forbidden = {*self.query_token_ids, *self.document_token_ids, self.backbone.config.image_token_id}
        return [token for token in ids if token not in forbidden]

    def _parse_layout(self) -> list[list[int] | str]:
        """The prompt as token ids, with "picture" and "text" where those go."""
        layout = self.vision.layout.replace("{bos}", self.words.bos_token or "")
        before, after = self.vision.picture.split("{tokens}")
        self._around_picture = self._special(before), self._special(after)
        parts = layout.replace("}", "{").split("{")
        return [part if part in ("picture", "text") else self._special(part) for part in parts]

    def _special(self, text: str) -> list[int]:
        return list(self.words(text, add_special_tokens=False)["input_ids"]) if text else []

    def _fill_layout(self, text: list[int], cost: int | None) -> list[int]:
        ids: list[int] = []
        for piece in self._layout:
            if piece == "text":
                ids += text
            elif piece != "picture":
                ids += cast("list[int]", piece)
            elif cost is not None:
                before, after = self._around_picture
                ids += [*before, *[self.backbone.config.image_token_id] * cost, *after]
        return ids

    def _see(self, pictures: Sequence[Any], rows: Sequence[int], count: int) -> Pictures:
        if not pictures:
            return Pictures({}, [])
        return self.vision.process(self.image_processor, self.backbone.config, pictures, rows, count)

    def _pad(self, rows: list[list[int]]) -> dict[str, Tensor]:
        width = max(len(row) for row in rows)
        filler = self.words.pad_token_id or 0
        return {
            "input_ids": torch.tensor([[filler] * (width - len(row)) + row for row in rows]),
            "attention_mask": torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows]),
        }

    def _with_placeholder(self, inputs: dict[str, Any], meta_tokens: int) -> dict[str, Any]:
        """The batch with one more row: a blank picture."""
        from PIL import Image

        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        rows = ids.shape[0]
        pictures = self._see([Image.new("RGB", (56, 56), "white")], [rows], rows + 1)
        row = torch.tensor(self._fill_layout([], pictures.tokens[0]), device=ids.device)
        row = torch.cat([row, ids[0, -meta_tokens:]])[None]
        width = max(row.shape[1], ids.shape[1])
        pad = torch.nn.functional.pad
        filler = self.words.pad_token_id or 0
        ids, row_ids = (pad(part, (width - part.shape[1], 0), value=filler) for part in (ids, row))
        mask, row_mask = (pad(part, (width - part.shape[1], 0)) for part in (mask, torch.ones_like(row)))
        return {
            "input_ids": torch.cat([ids, row_ids]),
            "attention_mask": torch.cat([mask, row_mask]),
            **{key: value.to(ids.device) for key, value in pictures.features.items()},
        }
