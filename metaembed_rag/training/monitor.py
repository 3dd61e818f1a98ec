"""What a training writes down while it runs: metrics.jsonl, TensorBoard scalars, and warnings with their causes."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import MultiVectorEncoder
from torch import Tensor
from transformers import TrainerCallback

from metaembed_rag.embedding.build import parts
from metaembed_rag.training.diagnostics import Finding, judge_gradients, judge_spread, spread

if TYPE_CHECKING:
    from metaembed_rag.training.loss import Objective, Reading

logger = logging.getLogger(__name__)

LOG_FILE = "metrics.jsonl"


class Monitor(TrainerCallback):
    """One JSON object a logged step, and the diagnostics of nested training in it.

    Beside the trainer's own entries (loss, learning_rate, grad_norm): ``loss(q,d)`` and ``accuracy(q,d)`` of every
    group in the last batch, the ``gap`` in accuracy between the widest and the narrowest, ``effective_rank`` and
    ``redundancy`` of the Meta Tokens, and the norms of their gradients (after clipping), token by token. Each cause of
    concern is logged once.

    Args:
        path: of the JSONL file; a resumed run cuts it back to its checkpoint.
        encoder: the model being trained.
    """

    def __init__(self, path: Path, encoder: MultiVectorEncoder) -> None:
        self.path = path
        self.encoder = encoder
        self.norms: tuple[list[float], list[float]] | None = None
        self.told: set[str] = set()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Forget what was logged after the checkpoint that this run goes on from."""
        if state.is_world_process_zero:
            lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
            kept = [line for line in lines if _step(line) <= state.global_step and state.global_step > 0]
            self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Read the Meta Tokens' gradients where the step ending now will be logged."""
        if (state.global_step + 1) % args.logging_steps == 0:
            self.norms = meta_token_gradients(self.encoder)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Append one line."""
        if not state.is_world_process_zero or not logs:
            return
        row: dict[str, Any] = {"step": state.global_step, **logs}
        if self.norms is not None and "loss" in logs:
            row["gradients"] = {"query": self.norms[0], "document": self.norms[1]}
            self._warn(judge_gradients("query", self.norms[0]) + judge_gradients("document", self.norms[1]))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def scalars(self, reading: Reading, objective: Objective) -> dict[str, float]:
        """The last batch's figures, for the trainer to log."""
        row: dict[str, float] = {}
        for group, loss, accuracy in zip(
            objective.groups, reading.losses.tolist(), reading.accuracies.tolist(), strict=True
        ):
            row[f"loss{group}"] = round(loss, 4)
            row[f"accuracy{group}"] = round(accuracy, 4)
        row["gap"] = round(float(reading.accuracies[-1] - reading.accuracies[0]), 4)
        for side, vectors in (("query", reading.queries), ("document", reading.documents)):
            found = spread(vectors.float().cpu().numpy())
            row[f"effective_rank_{side}"] = round(found.effective_rank, 3)
            row[f"redundancy_{side}"] = round(found.redundancy, 4)
            self._warn(judge_spread(side, found))
        return row

    def _warn(self, findings: list[Finding]) -> None:
        for finding in findings:
            if finding.cause not in self.told:
                self.told.add(finding.cause)
                logger.warning("%s", finding)


def meta_token_gradients(encoder: MultiVectorEncoder) -> tuple[list[float], list[float]] | None:
    """Norms of the gradient at each query and each document Meta Token's row; None where it is not at hand."""
    transformer, _ = parts(encoder)
    queries, documents = len(transformer.query_token_ids), len(transformer.document_token_ids)
    for name, parameter in encoder.named_parameters():
        if "trainable_tokens_delta" in name and parameter.grad is not None:
            gradient: Tensor = parameter.grad
            if hasattr(gradient, "full_tensor"):  # sharded by FSDP; every process takes part
                gradient = gradient.full_tensor()
            if gradient.ndim != 2 or len(gradient) != queries + documents:
                return None
            norms = [round(norm, 9) for norm in torch.linalg.vector_norm(gradient.float(), dim=1).tolist()]
            return norms[:queries], norms[queries:]
    return None


def _step(line: str) -> float:
    """The step of a log line; a line that a kill cut off counts as after everything."""
    try:
        row: Mapping[str, Any] = json.loads(line)
        return float(row["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
