"""Write a model's folder, and push it to the hub: data files and a card, nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from metaembed_rag.embedding.build import ADAPTER_CONFIG_FILE
from metaembed_rag.embedding.card import CardFacts, write_card
from metaembed_rag.embedding.config import CONFIG_FILE, ModelConfig
from metaembed_rag.embedding.trust import DATA_FILES, check_folder
from metaembed_rag.errors import InputError, ModelError

CARD_FILE = "README.md"


def save_model(
    config: ModelConfig,
    source: Path | None,
    target: Path,
    card: CardFacts | None,
    backbone: str | None,
    *,
    repo_id: str | None = None,
) -> Path:
    """Copy a model's data files and see to its card; see ``MetaEmbed.save_pretrained``."""
    if source is None:
        raise ModelError(
            "this model was never saved: write its adapter with embedding.build.save_adapter, then load that folder"
        )
    check_folder(source, foreign_modules=True)
    try:
        target.mkdir(parents=True, exist_ok=True)
        if source.resolve() != target.resolve():
            _copy(source, target)
        if backbone is not None:
            config = _rename_backbone(config, target, backbone)
        if card is not None or not (target / CARD_FILE).exists():
            (target / CARD_FILE).write_text(write_card(config, card or CardFacts(), repo_id), encoding="utf-8")
    except OSError as error:
        raise ModelError(f"the model cannot be written to {target}: {error}") from error
    return target


def push_model(
    config: ModelConfig,
    source: Path | None,
    repo_id: str,
    *,
    private: bool,
    revision: str | None,
    commit_message: str,
    token: str | None,
    card: CardFacts | None,
    backbone: str | None,
) -> str:
    """Save to a passing folder and upload it in one commit; see ``MetaEmbed.push_to_hub``."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    named = backbone or config.backbone
    brings_backbone = source is not None and not (source / CONFIG_FILE).exists()
    if not brings_backbone and Path(named).expanduser().exists():
        raise ModelError(
            f"the backbone {named!r} is a folder of this machine, which nobody else could load: pass backbone= with "
            "the hub id it came from"
        )
    with TemporaryDirectory() as passing:
        folder = save_model(config, source, Path(passing), card, backbone, repo_id=repo_id)
        api = HfApi(token=token)
        try:
            repository = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            if revision is not None:
                api.create_branch(repository, branch=revision, exist_ok=True)
            commit = api.upload_folder(
                folder_path=folder,
                repo_id=repository,
                revision=revision,
                commit_message=commit_message,
                allow_patterns=list(DATA_FILES),
            )
        except HFValidationError as error:
            raise InputError(f"repo_id must be 'owner/name': {error}") from error
        except (HfHubHTTPError, _transport_error(), OfflineModeIsEnabled, OSError) as error:
            raise ModelError(
                f"{repo_id} could not be pushed: {error}; check network, HF_HUB_OFFLINE and token (hf auth login)"
            ) from error
    return str(commit.commit_url)


def _transport_error() -> type[Exception]:
    """The base of what the hub library's HTTP client raises; which client that is differs between its versions."""
    from huggingface_hub import utils

    client: Any = getattr(utils, "httpx", None) or import_module("httpx")
    error: type[Exception] = client.HTTPError
    return error


def _copy(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file() and any(path.match(pattern) for pattern in DATA_FILES):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def _rename_backbone(config: ModelConfig, folder: Path, backbone: str) -> ModelConfig:
    renamed = replace(config, backbone=backbone)
    if not (folder / CONFIG_FILE).exists():
        raise ModelError("this model carries its backbone with it; leave backbone= out")
    renamed.save(folder)
    path = folder / ADAPTER_CONFIG_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    content["base_model_name_or_path"] = backbone
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return renamed
