"""Write the mean of two trained models' weights: a model that keeps more of the earlier than the later does.

Example:
    python benchmarks/mini/average.py narrow/model run/model --out mini

Both must be built alike, and one should have gone on from the other: only then do their weights lie close enough
together for a mean to be a model.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file

from metaembed_rag.embedding.build import ADAPTER_FILE, HEAD_FILE
from metaembed_rag.embedding.load import find_model_folder
from metaembed_rag.embedding.trust import check_folder

WEIGHTS = (ADAPTER_FILE, HEAD_FILE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Average in float32, write in the later model's precision, and take everything else from the later model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs=2, help="two models, the earlier one first: packaged, folders or hub ids")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; it must not exist")
    options = parser.parse_args(arguments)
    if options.out.exists():
        parser.error(f"{options.out} exists: give a new folder")
    folders = [find_model_folder(model) for model in options.models]
    for folder in folders:
        check_folder(folder)
    earlier, later = ({name: load_file(folder / name) for name in WEIGHTS} for folder in folders)
    for name in WEIGHTS:
        shapes = [{key: value.shape for key, value in weights[name].items()} for weights in (earlier, later)]
        if shapes[0] != shapes[1]:
            parser.error(f"{name} differs in its layout: the two models are not built alike")
    shutil.copytree(folders[1], options.out)
    for name in WEIGHTS:
        mean = {
            key: ((value.float() + earlier[name][key].float()) / 2).to(value.dtype)
            for key, value in later[name].items()
        }
        save_file(mean, options.out / name, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
