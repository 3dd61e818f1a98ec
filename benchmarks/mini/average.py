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

WEIGHTS = ("adapter_model.safetensors", "projection.safetensors")


def main(arguments: Sequence[str] | None = None) -> None:
    """Average in float32, write in the later model's precision, and take everything else from the later model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs=2, help="two model folders, the earlier one first")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; it must not exist")
    options = parser.parse_args(arguments)
    if options.out.exists():
        parser.error(f"{options.out} exists: give a new folder")
    earlier, later = ({name: load_file(folder / name) for name in WEIGHTS} for folder in options.models)
    for name in WEIGHTS:
        shapes = [{key: value.shape for key, value in weights[name].items()} for weights in (earlier, later)]
        if shapes[0] != shapes[1]:
            parser.error(f"{name} differs in its layout: the two models are not built alike")
    shutil.copytree(options.models[1], options.out)
    for name in WEIGHTS:
        mean = {
            key: ((value.float() + earlier[name][key].float()) / 2).to(value.dtype)
            for key, value in later[name].items()
        }
        save_file(mean, options.out / name, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
