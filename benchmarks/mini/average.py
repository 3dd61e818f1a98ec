"""Write the mean of trained models' weights: a model that keeps more of the earlier than the last one does.

Example:
    python benchmarks/mini/average.py narrow/model neighbours/model --out both
    python benchmarks/mini/average.py both both pages/model nested/model --out four
    python benchmarks/mini/average.py near kept/model --out pooling --pooled-text

A model that is named twice weighs twice. Pooling text takes no weights, so a mean may begin it. All must be built
alike, and have gone on from one another or from the same model: only then do their weights lie close enough together
for a mean to be a model.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file

from metaembed_rag.embedding.build import ADAPTER_FILE, HEAD_FILE, save_weights
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.load import find_model_folder
from metaembed_rag.embedding.trust import check_folder

WEIGHTS = (ADAPTER_FILE, HEAD_FILE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Average in float32, write in the last model's precision, and take everything else from the last model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="+", help="two models or more, the earliest first: packaged, folders or hub ids"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write; it must not exist")
    parser.add_argument(
        "--pooled-text", action="store_true", help="let the mean pool text around its Meta Tokens, as mini does"
    )
    options = parser.parse_args(arguments)
    if options.out.exists():
        parser.error(f"{options.out} exists: give a new folder")
    if len(options.models) < 2:
        parser.error("a mean needs two models or more")
    folders = [find_model_folder(model) for model in options.models]
    for folder in folders:
        check_folder(folder)
    weights = {name: [load_file(folder / name) for folder in folders] for name in WEIGHTS}
    for name, models in weights.items():
        shapes = [{key: value.shape for key, value in model.items()} for model in models]
        if any(shape != shapes[-1] for shape in shapes):
            parser.error(f"{name} differs in its layout: the models are not built alike")
    shutil.copytree(folders[-1], options.out)
    for name, models in weights.items():
        mean = {
            key: (sum(model[key].float() for model in models) / len(models)).to(value.dtype)
            for key, value in models[-1].items()
        }
        save_weights(mean, options.out / name)
    if options.pooled_text:
        replace(ModelConfig.load(options.out), pooled_text=True).save(options.out)


if __name__ == "__main__":
    main()
