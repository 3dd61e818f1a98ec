"""Miniature backbones, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metaembed_rag.embedding.config import ModelConfig

from .miniatures import DOCUMENT_TOKENS, MINIATURES, QUERY_TOKENS


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """The config of a model on the miniature of a family."""
    made: dict[str, Path] = {}

    def config(model_type: str, **changes) -> ModelConfig:
        if model_type not in made:
            made[model_type] = tmp_path_factory.mktemp(model_type)
            torch.manual_seed(5)
            MINIATURES[model_type](made[model_type])
        defaults = {"query_tokens": QUERY_TOKENS, "document_tokens": DOCUMENT_TOKENS, "dim": 16, "window": 64}
        return ModelConfig(
            name="miniature", backbone=str(made[model_type]), model_type=model_type, **{**defaults, **changes}
        )

    return config
