"""Train Meta Tokens, adapter and projection after a recipe, with sentence-transformers' trainer."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.sampler import BatchSamplers, MultiDatasetBatchSamplers
from sentence_transformers.multi_vector_encoder.trainer import MultiVectorEncoderTrainer
from sentence_transformers.multi_vector_encoder.training_args import MultiVectorEncoderTrainingArguments
from torch import nn
from transformers import AutoModel, TrainerCallback

from metaembed_rag.embedding.backbone import resolve_backbone
from metaembed_rag.embedding.build import add_adapter, build_encoder, save_adapter, trainable_parameters
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.errors import ModelError
from metaembed_rag.training.data import read_sources
from metaembed_rag.training.loss import MMRLoss
from metaembed_rag.training.recipe import Recipe
from metaembed_rag.training.teacher import TokenTeacher

logger = logging.getLogger(__name__)

LOG_FILE = "metrics.jsonl"
CHECKPOINT_FILE = "trainable.safetensors"


def train(recipe: Recipe, data: Path, output: Path, *, resume: bool = True) -> Path:
    """Run a recipe and write the model folder.

    Args:
        recipe: what to do.
        data: folder of the recipe's JSONL sources.
        output: ``output/model`` is the result; checkpoints and ``metrics.jsonl`` lie beside it.
        resume: go on from the newest checkpoint in ``output``, if there is one.

    Returns:
        the model folder, for ``MetaEmbed.from_pretrained``.

    Raises:
        InputError: the data is missing or malformed.
        ModelError: the backbone cannot be loaded, or the checkpoint is damaged or of another recipe.
    """
    output.mkdir(parents=True, exist_ok=True)
    config = model_config(recipe)
    encoder = trainable_encoder(recipe, config)
    triplets = read_sources(data, recipe.sources, seed=recipe.seed, missing_negative=recipe.missing_negative)
    trainer = _Trainer(
        model=encoder,
        args=_arguments(recipe, output),
        train_dataset={name: Dataset.from_list(rows) for name, rows in triplets.items()},
        loss=_loss(recipe, encoder),
        callbacks=[_JsonLog(output / LOG_FILE)],
    )
    checkpoint = resume and any(output.glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=checkpoint or None)
    folder = output / "model"
    save_adapter(encoder, config, folder)
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
    )


def trainable_encoder(recipe: Recipe, config: ModelConfig) -> MultiVectorEncoder:
    """The encoder with adapter, Meta Token rows and projection to be trained."""
    torch.manual_seed(recipe.seed)
    encoder = build_encoder(config, attention=recipe.attention)
    add_adapter(encoder, config, rank=recipe.rank, alpha=recipe.alpha, dropout=recipe.lora_dropout, seed=recipe.seed)
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Dropout) and "lora" not in name:
            module.p = recipe.backbone_dropout
    count = sum(parameter.numel() for parameter in trainable_parameters(encoder).values())
    logger.info("%d trainable parameters", count)
    return encoder


def _loss(recipe: Recipe, encoder: MultiVectorEncoder) -> MMRLoss:
    teacher = None
    if recipe.teacher_weight > 0:
        backbone = AutoModel.from_pretrained(
            resolve_backbone(recipe.backbone), attn_implementation=recipe.attention
        ).to(encoder.device)
        teacher = TokenTeacher(backbone, weight=recipe.teacher_weight, similarity=recipe.similarity)
    return MMRLoss(encoder, distillation=teacher, temperature=recipe.temperature, similarity=recipe.similarity)


def _arguments(recipe: Recipe, output: Path) -> MultiVectorEncoderTrainingArguments:
    return MultiVectorEncoderTrainingArguments(
        output_dir=str(output),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        lr_scheduler_type="cosine",
        bf16=recipe.bf16 and _computes_bfloat16(),
        use_cpu=not torch.cuda.is_available(),
        max_length={"query": recipe.query_length, "document": recipe.document_length},
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        multi_dataset_batch_sampler=MultiDatasetBatchSamplers.PROPORTIONAL,
        logging_steps=min(10, recipe.save_steps),
        save_steps=recipe.save_steps,
        save_total_limit=2,
        seed=recipe.seed,
        report_to="none",
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
    )


class _Trainer(MultiVectorEncoderTrainer):
    """Checkpoints of what training moves: a few MB in full precision, beside the optimizer's own state."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().contiguous() for name, value in trainable_parameters(self.model).items()}
        save_file(weights, folder / CHECKPOINT_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        path = Path(resume_from_checkpoint) / CHECKPOINT_FILE
        parameters = trainable_parameters(self.model)
        try:
            weights = load_file(path)
            if weights.keys() != parameters.keys():
                raise KeyError("other parameters than this recipe trains")
            with torch.no_grad():
                for name, value in parameters.items():
                    value.copy_(weights[name])
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"{path} cannot be resumed from ({error}); train into an empty folder, or with --fresh"
            ) from error


def _computes_bfloat16() -> bool:
    """Whether bfloat16 is computed rather than emulated, which takes fifty times as long as float32."""
    if torch.cuda.is_available():
        return True
    capability = torch.backends.cpu.get_cpu_capability()
    computes = capability not in ("DEFAULT", "AVX2")
    if not computes:
        logger.warning("this processor (%s) has no bfloat16: training in float32", capability)
    return computes


class _JsonLog(TrainerCallback):
    """One JSON object a logged step."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if state.is_world_process_zero and logs:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
