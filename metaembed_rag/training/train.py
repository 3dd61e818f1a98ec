"""Train Meta Tokens, adapter and projection after a recipe, with sentence-transformers' trainer."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.data_collator import MultiVectorEncoderDataCollator
from sentence_transformers.multi_vector_encoder.training_args import MultiVectorEncoderTrainingArguments
from torch import nn

from metaembed_rag.embedding.build import (
    add_adapter,
    build_encoder,
    load_adapter,
    parts,
    save_adapter,
    trainable_parameters,
)
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.dtypes import computes_bfloat16
from metaembed_rag.embedding.families import family_of
from metaembed_rag.embedding.load import find_model_folder
from metaembed_rag.embedding.trust import check_folder
from metaembed_rag.embedding.vision import MetaTokenVisionTransformer
from metaembed_rag.embedding.windows import cut_windows
from metaembed_rag.errors import InputError, MissingDependencyError, TrainingError
from metaembed_rag.training.batches import SourceBatchSampler
from metaembed_rag.training.compilation import compile_layers
from metaembed_rag.training.data import COLUMNS, Source, Triplet, has_images, identity, read_sources, samples
from metaembed_rag.training.monitor import LOG_FILE, Monitor
from metaembed_rag.training.recipe import Recipe
from metaembed_rag.training.samples import SampleReader
from metaembed_rag.training.teaching import loss_of
from metaembed_rag.training.trainer import CHECKPOINT_FILE, MetaTrainer, load_trainable, newest_checkpoint

__all__ = ["CHECKPOINT_FILE", "LOG_FILE", "train"]

logger = logging.getLogger(__name__)

#: What a run was started with, beside its checkpoints.
RUN_FILE = "run.json"
#: Entries of a recipe that do not change what is learned, so a run may resume with others.
FREE = frozenset({"comment", "compile", "save_steps", "log_steps", "tensorboard", "trainer"})


def train(recipe: Recipe, data: Path, output: Path, *, resume: bool = True) -> Path:
    """Run a recipe and write the model folder.

    Started by ``torchrun`` or ``accelerate launch`` in several processes, they train one model together.

    Args:
        recipe: what to do.
        data: folder of the recipe's JSONL sources.
        output: ``output/model`` is the result; checkpoints and ``metrics.jsonl`` lie beside it.
        resume: go on from the newest checkpoint in ``output``, if there is one.

    Returns:
        the model folder, for ``MetaEmbed.from_pretrained``.

    Raises:
        InputError: the recipe or the data is wrong, or the checkpoints in ``output`` are of another run.
        ModelError: the backbone cannot be loaded, or the checkpoint is damaged.
        MissingDependencyError: TensorBoard is asked for and not installed.
        TrainingError: the loss is not finite, or a process holds other data than the others.
    """
    recipe.validate(Path(recipe.name))
    _check_tensorboard(recipe)
    if recipe.trainer.get("fsdp") and not torch.cuda.is_available():
        # accelerate would train without sharding and say nothing.
        raise InputError("the recipe asks for FSDP, which needs accelerators; leave trainer.fsdp out on processors")
    triplets = read_sources(data, recipe.sources, seed=recipe.seed, missing_negative=recipe.missing_negative)
    images = family_of(recipe.model_type).vision is not None
    if images and (recipe.asks_backbone or (recipe.nested_weight and recipe.lexical_share)):
        raise InputError(
            "teacher_weight, alignment_weight and lexical_share distil text backbones; set them to 0 for one that sees"
        )
    for name, rows in triplets.items():
        if has_images(rows) and not images:
            raise InputError(
                f"source {name!r} has images, which a {recipe.model_type!r} backbone does not read; take a vision "
                "backbone, or replace them by their text"
            )
    output.mkdir(parents=True, exist_ok=True)
    arguments = _arguments(recipe, output)
    if recipe.document_windows > 1 and arguments.world_size > 1 and recipe.gather:
        raise InputError("document_windows needs gather: false in several processes: their pages differ in windows")
    sampler = batch_sampler(recipe, triplets, arguments.world_size)
    config = model_config(recipe)
    encoder = trainable_encoder(recipe, config)
    if recipe.compile:
        compile_layers(encoder)
    columns = COLUMNS if recipe.chain is None else COLUMNS[:2]
    monitor = Monitor(output / LOG_FILE, encoder)
    trainer = MetaTrainer(
        model=encoder,
        args=arguments,
        train_dataset=DatasetDict(
            {name: Dataset.from_list(_uniform(rows, columns)) for name, rows in triplets.items()}
        ),
        loss=loss_of(recipe, encoder, triplets, bf16=arguments.bf16),
        data_collator=MultiVectorEncoderDataCollator(
            preprocess_fn=SampleReader(encoder.preprocess, document_cutter(recipe, encoder)),
            max_length=arguments.max_length,
        ),
        sampler=sampler,
        monitor=monitor,
    )
    run = _run(recipe, triplets, arguments.world_size)
    _check_equal(run)
    checkpoint = newest_checkpoint(output) if resume else None
    if checkpoint is not None:
        _check_run(output / RUN_FILE, run)
    if trainer.is_world_process_zero():
        (output / RUN_FILE).write_text(json.dumps(run, indent=2, default=str) + "\n", encoding="utf-8")
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    folder = output / "model"
    if trainer.is_world_process_zero():
        if trainer.is_fsdp_enabled:
            # The trained encoder is in shards; its last checkpoint is whole.
            encoder = trainable_encoder(recipe, config)
            load_trainable(encoder, output / f"checkpoint-{trainer.state.global_step}")
        save_adapter(encoder, config, folder)
    trainer.accelerator.wait_for_everyone()
    return folder


def model_config(recipe: Recipe) -> ModelConfig:
    """The config of the model that a recipe trains."""
    return ModelConfig(
        name=recipe.name,
        backbone=recipe.backbone,
        model_type=recipe.model_type,
        query_tokens=recipe.query_tokens,
        document_tokens=recipe.document_tokens,
        dim=recipe.dim,
        window=recipe.window,
        similarity=recipe.similarity,
        visual_tokens=recipe.visual_tokens,
        groups=tuple((query, document) for query, document in recipe.groups),
        positions=recipe.positions,
        weighted_queries=recipe.weighted_queries,
        pooled_text=recipe.pooled_text,
        first_projection=recipe.first_projection,
        division_weights=None if recipe.division_weights is None else tuple(recipe.division_weights),
        merged_tokens=recipe.merged_tokens,
    )


def trainable_encoder(recipe: Recipe, config: ModelConfig) -> MultiVectorEncoder:
    """The encoder with adapter, Meta Token rows and projection to be trained."""
    torch.manual_seed(recipe.seed)
    encoder = build_encoder(config, attention=recipe.attention, dtype=recipe.dtype)
    if recipe.start is None:
        add_adapter(
            encoder, config, rank=recipe.rank, alpha=recipe.alpha, dropout=recipe.lora_dropout, seed=recipe.seed
        )
    else:
        _load_start(encoder, recipe, config)
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Dropout) and "lora" not in name:
            module.p = recipe.backbone_dropout
    transformer, _ = parts(encoder)
    if isinstance(transformer, MetaTokenVisionTransformer):
        # A batch of texts only must run the vision encoder too, or the other processes wait for it for ever.
        transformer.placeholder_images = True
    count = sum(parameter.numel() for parameter in trainable_parameters(encoder).values())
    logger.info("%d trainable parameters", count)
    return encoder


def _load_start(encoder: MultiVectorEncoder, recipe: Recipe, config: ModelConfig) -> None:
    """Give an encoder the weights of the model that a recipe goes on from, trainable, in place.

    Raises:
        InputError: it is built otherwise than the recipe says.
        ModelError: no such model, or its files are damaged.
    """
    folder = find_model_folder(str(recipe.start))
    check_folder(folder)
    before = ModelConfig.load(folder)
    built = [
        "backbone",
        "model_type",
        "query_tokens",
        "document_tokens",
        "dim",
        "positions",
        "weighted_queries",
        "first_projection",
    ]
    # These have no weights, so a run may begin them. One that ended them unasked would throw away what was trained so.
    if before.pooled_text:
        built.append("pooled_text")
    built += [name for name in ("division_weights", "merged_tokens") if getattr(before, name) is not None]
    found = {name: getattr(before, name) for name in built}
    wanted = {name: getattr(config, name) for name in built}
    _compare(recipe, found, wanted)
    if before.query_adapter:
        logger.warning(
            "%s reads queries with weights of their own; the model in training reads queries and documents alike, and "
            "starts from those for documents",
            recipe.start,
        )
    load_adapter(encoder, config, folder, trainable=True)
    adapter = parts(encoder)[0].model.peft_config["default"]
    _compare(recipe, {"rank": adapter.r, "alpha": adapter.lora_alpha}, {"rank": recipe.rank, "alpha": recipe.alpha})


def _compare(recipe: Recipe, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    changed = [f"{name}: {found[name]!r}" for name in found if found[name] != wanted[name]]
    if changed:
        raise InputError(f"start {recipe.start!r} was built with {', '.join(changed)}; write that in the recipe")


def batch_sampler(recipe: Recipe, triplets: dict[str, list[Triplet]], processes: int = 1) -> SourceBatchSampler:
    """The batches of a recipe's run, as indices into its sources laid end to end."""
    sources = {name: Source.parse(name, value) for name, value in recipe.sources.items()}
    return SourceBatchSampler(
        triplets,
        {name: source.weight or float(len(triplets[name])) for name, source in sources.items()},
        per_document={name: source.per_document for name, source in sources.items() if source.per_document},
        batch_size=recipe.batch_size,
        processes=processes,
        batches=recipe.steps * recipe.accumulation,
        sub_batch=recipe.sub_batch,
        seed=recipe.seed,
        chain=recipe.chain,
    )


def _arguments(recipe: Recipe, output: Path) -> MultiVectorEncoderTrainingArguments:
    options: dict[str, Any] = {
        "save_total_limit": 2,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        **recipe.trainer,
    }
    if recipe.gradient_checkpointing:
        # transformers 5.2x renames it. Reentrant checkpointing fails with several forward passes a step under DDP.
        known = {item.name for item in fields(MultiVectorEncoderTrainingArguments)}
        name = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
        options |= {name: True, f"{name}_kwargs": {"use_reentrant": False}}
    return MultiVectorEncoderTrainingArguments(
        output_dir=str(output),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        lr_scheduler_type="constant_with_warmup" if recipe.scheduler == "constant" else recipe.scheduler,
        bf16=computes_in_bfloat16(recipe),
        use_cpu=not torch.cuda.is_available(),
        max_length={"query": recipe.query_length, "document": recipe.document_length},
        logging_steps=recipe.log_steps or min(10, recipe.save_steps),
        # A loss that is not finite is an error here, not something to leave out of the mean.
        logging_nan_inf_filter=False,
        save_steps=recipe.save_steps,
        seed=recipe.seed,
        report_to=["tensorboard"] if recipe.tensorboard else "none",
        # Every parameter takes part in every step, on every process: placeholders see to it.
        ddp_find_unused_parameters=False,
        **options,
    )


def document_cutter(recipe: Recipe, encoder: MultiVectorEncoder) -> Callable[[str], list[str]] | None:
    """What cuts a document's text into the windows that a recipe reads; None where it reads the first alone."""
    if recipe.document_windows == 1:
        return None
    transformer, _ = parts(encoder)
    room = recipe.document_length - transformer.words.num_special_tokens_to_add()

    def cut(text: str) -> list[str]:
        windows = cut_windows(text, transformer.offsets(text), room)
        return [window.text for window in windows[: recipe.document_windows]]

    return cut


def _uniform(rows: list[Triplet], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Arrow columns have one type: texts where a source has no image, else text and image of every sample."""
    pictured = has_images(rows)
    return [
        {
            name: {"text": sample, "image": None} if pictured and isinstance(sample, str) else sample
            for name, sample in zip(columns, samples(row), strict=False)
        }
        for row in rows
    ]


def _run(recipe: Recipe, triplets: dict[str, list[Triplet]], processes: int) -> dict[str, Any]:
    """What a checkpoint depends on."""
    digest = hashlib.sha256()
    for name, rows in triplets.items():
        digest.update(json.dumps([name, [_content(row) for row in rows]]).encode())
    content = {key: value for key, value in asdict(recipe).items() if key not in FREE}
    found: dict[str, Any] = json.loads(
        json.dumps({"recipe": content, "data": digest.hexdigest(), "processes": processes}, default=str)
    )
    return found


def _content(row: Triplet) -> list[Any]:
    return [
        *(identity(sample)[0] for sample in samples(row)),
        *([row["document"], row["pages"]] if "document" in row else ()),
    ]


def _check_equal(run: dict[str, Any]) -> None:
    """Every process must have drawn the same pairs, or their batches would overlap."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        everywhere: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(everywhere, run["data"])
        if len(set(everywhere)) > 1:
            raise TrainingError("the processes read different data; give all of them the same files under --data")


def _check_run(path: Path, run: dict[str, Any]) -> None:
    """Refuse to resume a run with another recipe or other data.

    Raises:
        InputError: names what differs.
    """
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        old = {**before["recipe"], "data": before["data"], "processes": before["processes"]}
    except (OSError, ValueError, KeyError, TypeError):
        logger.warning("%s is missing or damaged: resuming without knowing what the run was started with", path)
        return
    new = {**run["recipe"], "data": run["data"], "processes": run["processes"]}
    changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    if changed:
        raise InputError(
            f"{path.parent} holds checkpoints of a run that differs in {', '.join(changed)}; restore them, train "
            "into an empty folder, or with --fresh"
        )


def _check_tensorboard(recipe: Recipe) -> None:
    if recipe.tensorboard and find_spec("tensorboard") is None:
        raise MissingDependencyError(
            "the recipe asks for TensorBoard: pip install 'metaembed-rag[tensorboard]', or set tensorboard: false"
        )


def computes_in_bfloat16(recipe: Recipe) -> bool:
    """Whether a training by ``recipe`` computes in bfloat16 here; says so where the recipe asks in vain."""
    if recipe.bf16 and not computes_bfloat16():
        logger.warning("this processor has no bfloat16: training in float32")
        return False
    return recipe.bf16
