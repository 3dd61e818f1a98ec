"""From a ModelConfig to a sentence-transformers MultiVectorEncoder, with or without trainable adapters."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder
from torch import nn
from transformers.utils import logging as transformers_logging

from metaembed_rag.embedding.backbone import check_model_type, resolve_backbone
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.families import Family, family_of
from metaembed_rag.embedding.readers import with_query_reader
from metaembed_rag.embedding.tokens import MetaTokenHead, MetaTokenInput, MetaTokenTransformer
from metaembed_rag.embedding.vision import MetaTokenVisionTransformer
from metaembed_rag.errors import ModelError

HEAD_FILE = "projection.safetensors"
ADAPTER_FILE = "adapter_model.safetensors"
ADAPTER_CONFIG_FILE = "adapter_config.json"
#: Where the adapter lies with which queries are read.
QUERY_FOLDER = "query"


def build_encoder(
    config: ModelConfig,
    *,
    device: str | None = None,
    attention: str | None = None,
    dtype: str | torch.dtype | None = None,
) -> MultiVectorEncoder:
    """The bare backbone with Meta Tokens and head, none of them trained.

    Args:
        config: what to build.
        device: where; None lets torch choose.
        attention: transformers' attention implementation; None takes the fastest that it has for the backbone.
        dtype: of the backbone's weights, such as "bfloat16"; None keeps the checkpoint's own.

    Raises:
        ModelError: the backbone cannot be loaded, is of another family, or has too few reserved rows.
    """
    family = family_of(config.model_type)
    if config.positions is not None and not family.prefix_attention:
        raise ModelError(f"positions are for bidirectional backbones, not {config.model_type!r}; set them to null")
    if config.query_adapter and family.vision is not None:
        raise ModelError(f"query_adapter is for text backbones, not {config.model_type!r}; set it to false")
    folder = resolve_backbone(config.backbone)
    check_model_type(folder, config.model_type)
    wanted = {"attn_implementation": attention, "dtype": dtype}
    options = {name: value for name, value in wanted.items() if value is not None}
    try:
        with quietly():
            transformer = _load_transformer(folder, family, config, options)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"backbone {config.backbone!r} cannot be loaded: {error}") from error
    ids = _reserved_ids(transformer, family, config)
    transformer.query_token_ids = ids[: config.query_tokens]
    transformer.document_token_ids = ids[config.query_tokens :]
    transformer.merged_tokens = config.merged_tokens
    head = MetaTokenHead(
        transformer.get_embedding_dimension(),
        config.dim,
        weighted_queries=config.weighted_queries,
        pooled_text=config.pooled_text,
        first_projection=config.first_projection,
        division_weights=config.division_weights,
        merged_tokens=config.merged_tokens,
    )
    encoder = MultiVectorEncoder(modules=[transformer, head], device=device)
    encoder.eval()
    return encoder


def _load_transformer(
    folder: str, family: Family, config: ModelConfig, options: dict[str, Any]
) -> MetaTokenTransformer | MetaTokenVisionTransformer:
    if family.vision is not None:
        return MetaTokenVisionTransformer(
            folder,
            model_type=config.model_type,
            query_token_ids=(),
            document_token_ids=(),
            max_seq_length=config.window,
            visual_tokens=config.visual_tokens,
            model_kwargs=options,
        )
    return MetaTokenTransformer(
        folder,
        query_token_ids=(),
        document_token_ids=(),
        prefix_attention=family.prefix_attention,
        positions=config.positions or family.positions,
        max_seq_length=config.window,
        model_kwargs={**options, "use_safetensors": True, "trust_remote_code": False},
        processor_kwargs={"trust_remote_code": False},
        config_kwargs={"trust_remote_code": False},
    )


def add_adapter(
    encoder: MultiVectorEncoder, config: ModelConfig, *, rank: int, alpha: int, dropout: float, seed: int
) -> None:
    """Make LoRA weights, Meta Token rows and projection trainable, in place; everything else is frozen.

    The Meta Token rows start as noise of the size of the vocabulary's own rows (arXiv 2509.18095 starts them
    at random), around their mean: rows that differ from the first step on do not collapse into one. Anchored Meta
    Tokens start from the words at their places; a tenth of that noise leaves those readable.
    """
    transformer, _ = parts(encoder)
    family = family_of(config.model_type)
    ids = [*transformer.query_token_ids, *transformer.document_token_ids]
    _initialise_rows(transformer.model, ids, seed, anchored=config.positions == "anchored")
    _add_lora(transformer, family, ids, rank=rank, alpha=alpha, dropout=dropout)


def add_query_adapter(encoder: MultiVectorEncoder, config: ModelConfig, *, rank: int) -> PeftModel:
    """Make LoRA weights and the rows of query Meta Tokens trainable on top of a trained model, in place; everything
    else, the head too, is frozen. ``save_lora`` writes it.
    """
    transformer, _ = parts(encoder)
    encoder.requires_grad_(False)
    family = family_of(config.model_type)
    return _add_lora(transformer, family, transformer.query_token_ids, rank=rank, alpha=rank, dropout=0.0)


def _add_lora(
    transformer: MetaTokenInput, family: Family, ids: list[int], *, rank: int, alpha: int, dropout: float
) -> PeftModel:
    lora = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=family.lora_targets,
        trainable_token_indices={family.embedding: ids},
    )
    with quietly():
        adapted: PeftModel = get_peft_model(transformer.model, lora)
    transformer.model = adapted
    return adapted


def save_adapter(encoder: MultiVectorEncoder, config: ModelConfig, folder: Path) -> None:
    """Write adapter, Meta Token rows and projection as safetensors in half precision, and the config.

    Half precision moves a row by less than 1e-3 of its length and halves the download.
    """
    folder.mkdir(parents=True, exist_ok=True)
    transformer, head = parts(encoder)
    save_lora(transformer.model, config, folder)
    if config.dim is not None:
        weights = {key: value.half().contiguous() for key, value in head.state_dict().items()}
        save_weights(weights, folder / HEAD_FILE)
    config.save(folder)


def save_lora(model: PeftModel, config: ModelConfig, folder: Path) -> None:
    """Write an adapter alone, of a model whose config is ``config``: in half precision."""
    model.save_pretrained(str(folder), save_embedding_layers=False)
    adapter = load_file(folder / ADAPTER_FILE)
    save_weights({key: value.half().contiguous() for key, value in adapter.items()}, folder / ADAPTER_FILE)
    name_backbone(folder / ADAPTER_CONFIG_FILE, config.backbone)
    # peft writes a template card; the model's own card is written by whoever trained it.
    (folder / "README.md").unlink(missing_ok=True)


def name_backbone(path: Path, name: str) -> None:
    """Give an ``adapter_config.json`` a name of its backbone that holds on any machine.

    peft records where it lay on the training machine.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    content["base_model_name_or_path"] = name
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def save_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write a file of a model folder; safetensors would make one that only its owner may read."""
    save_file(weights, path)
    path.chmod(0o644)


def load_adapter(encoder: MultiVectorEncoder, config: ModelConfig, folder: Path, *, trainable: bool = False) -> None:
    """Read what ``save_adapter`` wrote and merge it into the backbone, in place; ``trainable`` leaves it apart instead.

    What is trainable reads queries and documents alike, without the query adapter that the folder may have.

    Raises:
        ModelError: files are missing, damaged, or of another shape.
    """
    transformer, head = parts(encoder)
    needed = [ADAPTER_FILE, ADAPTER_CONFIG_FILE, *([HEAD_FILE] if config.dim is not None else [])]
    if config.query_adapter:
        needed += [f"{QUERY_FOLDER}/{ADAPTER_FILE}", f"{QUERY_FOLDER}/{ADAPTER_CONFIG_FILE}"]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder} is incomplete: {', '.join(missing)} missing")
    try:
        with quietly():
            adapted = PeftModel.from_pretrained(
                transformer.model, str(folder), use_safetensors=True, is_trainable=trainable
            )
            transformer.model = adapted if trainable else adapted.merge_and_unload()
            if config.query_adapter and not trainable:
                transformer.model = with_query_reader(transformer.model, folder / QUERY_FOLDER)
        if config.dim is not None:
            head.load_state_dict({key: value.float() for key, value in load_file(folder / HEAD_FILE).items()})
    except Exception as error:
        # What comes in a folder is anybody's, and peft answers a malformed config by whatever exception it meets.
        raise ModelError(f"{folder} does not fit its backbone {config.backbone!r}: {error}") from error
    encoder.eval()


def parts(encoder: MultiVectorEncoder) -> tuple[MetaTokenInput, MetaTokenHead]:
    """The two modules of an encoder made by ``build_encoder``.

    Raises:
        ModelError: it was made by something else.
    """
    transformer, head = encoder[0], encoder[1]
    if not isinstance(transformer, MetaTokenInput) or not isinstance(head, MetaTokenHead):
        raise ModelError("this encoder has no Meta Tokens; make one with MetaEmbed.from_pretrained")
    return transformer, head


def trainable_parameters(encoder: MultiVectorEncoder) -> dict[str, nn.Parameter]:
    """The parameters that training moves, by name."""
    return {name: value for name, value in encoder.named_parameters() if value.requires_grad}


@contextmanager
def quietly() -> Iterator[None]:
    """No progress bar for weights that load in a blink, nor peft's use of a name that transformers renames."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _reserved_ids(transformer: MetaTokenInput, family: Family, config: ModelConfig) -> list[int]:
    rows = transformer.model.get_input_embeddings().weight.shape[0]
    try:
        return family.reserve(transformer.words, rows, config.query_tokens + config.document_tokens)
    except ModelError as error:
        raise ModelError(f"{config.backbone!r} cannot hold this model's Meta Tokens: {error}") from error


@torch.no_grad()
def _initialise_rows(backbone: nn.Module, ids: list[int], seed: int, *, anchored: bool) -> None:
    weight = backbone.get_input_embeddings().weight  # type: ignore[operator]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(ids), weight.shape[1], generator=generator)
    noise = noise.to(weight) * weight.std(dim=0)
    weight[ids] = 0.1 * noise if anchored else weight.mean(dim=0) + noise
