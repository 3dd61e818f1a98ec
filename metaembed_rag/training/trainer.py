"""The sentence-transformers trainer with our batches, small checkpoints, and a stop where the loss is not finite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.trainer import MultiVectorEncoderTrainer
from torch import Tensor, nn
from transformers import Trainer

from metaembed_rag.embedding.build import trainable_parameters
from metaembed_rag.errors import ModelError, TrainingError
from metaembed_rag.training.batches import SourceBatchSampler
from metaembed_rag.training.loss import MMRLoss
from metaembed_rag.training.monitor import Monitor

CHECKPOINT_FILE = "trainable.safetensors"


class MetaTrainer(MultiVectorEncoderTrainer):
    """Trains an encoder with ``MMRLoss`` on the batches of a ``SourceBatchSampler``.

    Checkpoints hold what training moves, a few MB in full precision, beside the optimizer's own state.

    Args:
        sampler: makes the batches of all processes.
        monitor: writes down what happens.
        options: as for MultiVectorEncoderTrainer.
    """

    def __init__(self, *, sampler: SourceBatchSampler, monitor: Monitor, **options: Any) -> None:
        super().__init__(**options, callbacks=[monitor])
        self.sampler = sampler
        self.monitor = monitor
        #: The source of the last batch, where each has a loss of its own.
        self.source: str | None = None

    def get_multi_dataset_batch_sampler(self, *_: Any, **__: Any) -> SourceBatchSampler:
        """Ours, in place of sentence-transformers'."""
        return self.sampler

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: a model's card is written by whoever publishes it, not while it trains."""

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One forward and backward pass.

        Raises:
            TrainingError: the loss is not finite.
        """
        self.source = inputs.get("dataset_name")
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss).all():
            raise TrainingError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}. Try, in this order: a lower "
                f"learning_rate (now {self.args.learning_rate:g}), more warmup_steps (now "
                f"{self.args.warmup_steps:g}), a higher temperature, bf16: false; or look for samples that break "
                f"the backbone. Checkpoints in {self.args.output_dir} are from before this step"
            )
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds what the loss and the Meta Tokens look like."""
        if "loss" in logs:
            last = self.loss[str(self.source)] if isinstance(self.loss, dict) else self.loss
            if isinstance(last, MMRLoss) and last.reading is not None:
                logs = {**logs, **self.monitor.scalars(last.reading, last.objective)}
                logs |= getattr(last.distillation, "terms", {})
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        # With FSDP the trainer hands over gathered weights; otherwise the model's own are whole.
        state = state_dict or {}
        weights = {
            name: state.get(name, value).detach().cpu().contiguous()
            for name, value in trainable_parameters(self.model).items()
        }
        save_file(weights, folder / CHECKPOINT_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.is_fsdp_enabled:
            # Sharded weights are restored by accelerate, from its own files.
            Trainer._load_from_checkpoint(self, resume_from_checkpoint, model)
        else:
            load_trainable(self.model, Path(resume_from_checkpoint))


def load_trainable(encoder: MultiVectorEncoder, checkpoint: Path) -> None:
    """Copy a checkpoint's weights into an encoder made after the same recipe.

    Raises:
        ModelError: they are missing, damaged, or of another recipe.
    """
    path = checkpoint / CHECKPOINT_FILE
    parameters = trainable_parameters(encoder)
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


def newest_checkpoint(output: Path) -> Path | None:
    """The newest checkpoint that was written to its end, which its trainer_state.json marks.

    A run killed while it wrote one goes on from the one before.
    """
    folders = [path for path in output.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    for folder in sorted(folders, key=lambda path: int(path.name.removeprefix("checkpoint-")), reverse=True):
        try:
            state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(state, dict) and state.get("global_step") == int(folder.name.removeprefix("checkpoint-")):
            return folder
    return None
