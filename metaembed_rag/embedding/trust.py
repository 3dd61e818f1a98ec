"""What a model folder may hold: data. Pickles and code from outside are refused, never run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metaembed_rag.errors import ModelError

#: Endings of files that run code when they are loaded.
PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
#: What is fetched of a model on the hub.
DATA_FILES = ("*.json", "*.safetensors", "*.md", "*.txt", "*.model", "*.jinja")
#: Large files that name no classes.
_PLAIN = frozenset({"tokenizer.json", "vocab.json", "model.safetensors.index.json"})
_OWN = ("sentence_transformers.", "metaembed_rag.")


def check_folder(folder: Path, *, foreign_modules: bool = False) -> None:
    """Refuse a model or backbone folder that could not be loaded as data alone.

    Args:
        folder: all of it is looked at.
        foreign_modules: let ``modules.json`` name classes from elsewhere; the caller must not import them.

    Raises:
        ModelError: its weights are pickled only, or it names classes to be imported from elsewhere.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    pickles = sorted(path.name for path in files if path.suffix in PICKLES)
    if pickles and not any(path.suffix == ".safetensors" for path in files):
        raise ModelError(
            f"{folder} holds pickled weights ({pickles[0]}), which could run code: convert them to safetensors, "
            "with save_pretrained on a machine that trusts them"
        )
    for path in files:
        if path.suffix == ".json" and path.name not in _PLAIN:
            _check_json(path, foreign_modules)


def _check_json(path: Path, foreign_modules: bool) -> None:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        # Whoever needs this file says what is wrong with it.
        return
    if path.name == "modules.json":
        foreign = [name for name in _module_types(content) if not name.startswith(_OWN)]
        if foreign and not foreign_modules:
            raise ModelError(
                f"{path} asks for code from outside ({foreign[0]}), which is never run. If the model has learned "
                "vectors ahead of the text, from_pretrained(..., layout='prepended') reads its weights without it"
            )
    elif isinstance(content, dict) and content.get("auto_map"):
        raise ModelError(
            f"{path} asks for code from outside (auto_map), which is never run: use a backbone that transformers "
            "itself supports"
        )


def _module_types(content: Any) -> Iterator[str]:
    if isinstance(content, list):
        for module in content:
            yield str(module.get("type", "") if isinstance(module, dict) else module)
