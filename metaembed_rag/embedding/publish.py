"""Write a model's folder, and push it to the hub: data files and a card, nothing else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from metaembed_rag.embedding.build import ADAPTER_CONFIG_FILE, QUERY_FOLDER, name_backbone
from metaembed_rag.embedding.card import CardFacts, write_card
from metaembed_rag.embedding.config import CONFIG_FILE, ModelConfig
from metaembed_rag.embedding.trust import DATA_FILES, check_folder
from metaembed_rag.errors import InputError, ModelError

CARD_FILE = "README.md"


class Publishable:
    """What ``MetaEmbed`` can do with its files.

    Attributes:
        config: the model's config.
        folder: where its files lie; None for an encoder that was never saved.
    """

    config: ModelConfig
    folder: Path | None

    def save_pretrained(
        self, folder: str | Path, *, card: CardFacts | None = None, backbone: str | None = None
    ) -> Path:
        """Write the model's files, safetensors and JSON only, with a model card.

        Args:
            folder: made if it does not exist; files of the same names are replaced.
            card: facts for a newly written card; None keeps the model's own card, if it has one.
            backbone: records this name of the backbone, such as its hub id, in place of the one it was loaded by.

        Returns:
            the folder, for ``from_pretrained``.

        Raises:
            ModelError: the model was never saved, or the folder cannot be written.
        """
        return self._save(Path(folder), card, backbone, None)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        revision: str | None = None,
        commit_message: str = "Add a MetaEmbed model",
        token: str | None = None,
        card: CardFacts | None = None,
        backbone: str | None = None,
    ) -> str:
        """Publish what ``save_pretrained`` writes, in one commit.

        Args:
            repo_id: "owner/name"; made if it does not exist.
            private: for a new repository.
            revision: branch; None is the main one.
            commit_message: of the commit.
            token: None uses the one of ``hf auth login`` or ``$HF_TOKEN``.
            card, backbone: as for ``save_pretrained``.

        Returns:
            the address of the commit.

        Raises:
            InputError: ``repo_id`` is no such name.
            ModelError: the hub refuses or cannot be reached, or the backbone is a folder of this machine, which
                nobody else could load.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

        named = backbone or self.config.backbone
        brings_backbone = self.folder is not None and not (self.folder / CONFIG_FILE).exists()
        if not brings_backbone and Path(named).expanduser().exists():
            raise ModelError(
                f"the backbone {named!r} is a folder of this machine, which nobody else could load: pass backbone= "
                "with the hub id it came from"
            )
        with TemporaryDirectory() as passing:
            folder = self._save(Path(passing), card, backbone, repo_id)
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

    def _save(self, target: Path, card: CardFacts | None, backbone: str | None, repo_id: str | None) -> Path:
        if self.folder is None:
            raise ModelError(
                "this model was never saved: write its adapter with embedding.build.save_adapter, then load that folder"
            )
        check_folder(self.folder, foreign_modules=True)
        config = self.config
        try:
            target.mkdir(parents=True, exist_ok=True)
            if self.folder.resolve() != target.resolve():
                _copy(self.folder, target)
            if backbone is not None:
                config = _rename_backbone(config, target, backbone)
            if card is not None or not (target / CARD_FILE).exists():
                (target / CARD_FILE).write_text(write_card(config, card or CardFacts(), repo_id), encoding="utf-8")
        except OSError as error:
            raise ModelError(f"the model cannot be written to {target}: {error}") from error
        return target


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
    for path in (folder / ADAPTER_CONFIG_FILE, folder / QUERY_FOLDER / ADAPTER_CONFIG_FILE):
        if path.exists():
            name_backbone(path, backbone)
    return renamed
