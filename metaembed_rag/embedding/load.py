"""From the name of a model to its encoder: packaged, a folder, or a hub id."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from metaembed_rag.embedding.backbone import download, file_sha256
from metaembed_rag.embedding.build import ADAPTER_FILE, HEAD_FILE, QUERY_FOLDER, build_encoder, load_adapter
from metaembed_rag.embedding.config import CONFIG_FILE, ModelConfig
from metaembed_rag.embedding.devices import check_device
from metaembed_rag.embedding.dtypes import Dtype, check_dtype, computes_bfloat16
from metaembed_rag.embedding.trust import check_folder
from metaembed_rag.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

logger = logging.getLogger(__name__)

#: Models that come with the package, and their folders.
PRETRAINED = Path(__file__).parent / "pretrained"

MODULES_FILE = "modules.json"


def load_model(
    name: str | Path, *, device: str | None, dtype: Dtype | None, layout: Literal["prepended"] | None
) -> tuple[ModelConfig, MultiVectorEncoder, str, Path, str]:
    """Config, encoder, fingerprint, folder and document fingerprint of a model; arguments as for
    ``MetaEmbed.from_pretrained``.

    Raises:
        ModelError: no such model, its files are damaged, or it holds more than data.
        InputError: no such dtype or device.
    """
    check_dtype(dtype)
    check_device(device)
    if layout not in (None, "prepended"):
        raise ModelError(f"layout must be None or 'prepended', not {layout!r}")
    folder = find_model_folder(name)
    published = layout is not None or (not (folder / CONFIG_FILE).exists() and (folder / MODULES_FILE).is_file())
    # Before anything else is read of it: whether this is a model folder at all.
    config = None if published else ModelConfig.load(folder)
    check_folder(folder, foreign_modules=layout is not None)
    if config is None:
        from metaembed_rag.embedding.prepended import load_prepended

        config, encoder = load_prepended(folder, device=device, dtype=dtype)
        files = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors"))
        whole = documents = fingerprint(_contents(folder, *files))
    else:
        encoder = build_encoder(config, device=device, dtype=dtype)
        load_adapter(encoder, config, folder)
        weights = _contents(folder, folder / ADAPTER_FILE, folder / HEAD_FILE)
        queries = _contents(folder, folder / QUERY_FOLDER / ADAPTER_FILE)
        whole = fingerprint(_contents(folder, folder / CONFIG_FILE) + weights + queries)
        documents = fingerprint(_document_settings(config) + weights)
    if dtype == "bfloat16" and not computes_bfloat16(encoder.device.type):
        logger.warning("this processor emulates bfloat16, which takes fifty times as long as float32: leave dtype out")
    return config, encoder, whole, folder, documents


def _document_settings(config: ModelConfig) -> str:
    """What a config says about documents: not what it is called, nor who reads queries.

    Defaults are left out, so that a field added by a later release leaves the fingerprints of older models alone.
    """
    values = asdict(replace(config, query_adapter=False))
    said = [field.name for field in fields(config) if field.name != "name" and values[field.name] != field.default]
    return json.dumps({name: values[name] for name in said}, sort_keys=True)


def _contents(folder: Path, *files: Path) -> str:
    """Names and hashes of ``files``, a line each; those that do not exist are passed over."""
    return "".join(f"{path.relative_to(folder).as_posix()}:{file_sha256(path)}\n" for path in files if path.is_file())


def fingerprint(description: str) -> str:
    """A short hash of what is said of a model."""
    return hashlib.sha256(description.encode()).hexdigest()[:16]


def find_model_folder(name: str | Path) -> Path:
    """Where a model's files lie; arguments as for ``MetaEmbed.from_pretrained``.

    Raises:
        ModelError: no such model.
    """
    packaged = PRETRAINED / str(name)
    if isinstance(name, str) and name.isidentifier() and (packaged / CONFIG_FILE).is_file():
        return packaged
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    names = ", ".join(sorted(path.name for path in PRETRAINED.iterdir() if path.is_dir()))
    return download(str(name), f"a packaged model ({names}), nor a model folder")
