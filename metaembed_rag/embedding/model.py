"""MetaEmbed: texts, pictures and pages in, nested Meta Token vectors out."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import Budget, BudgetLike
from metaembed_rag.embedding.backbone import file_sha256
from metaembed_rag.embedding.build import ADAPTER_FILE, HEAD_FILE, build_encoder, load_adapter, parts
from metaembed_rag.embedding.config import CONFIG_FILE, ModelConfig
from metaembed_rag.embedding.windows import Window, cut_windows
from metaembed_rag.errors import BudgetError, InputError, ModelError
from metaembed_rag.pages.clean import check_text
from metaembed_rag.pages.page import Page
from metaembed_rag.scoring import maxsim

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import MultiVectorEncoder

FloatArray: TypeAlias = npt.NDArray[np.float32]
Document: TypeAlias = "str | Image | Page"

#: Models that come with the package, and their folders.
PRETRAINED = Path(__file__).parent / "pretrained"


class TruncationWarning(UserWarning):
    """A document was longer than the model's window, and one embedding was asked for."""


class MetaEmbed:
    """A backbone with learnable Meta Tokens whose last-layer states are a nested multi-vector embedding.

    Any prefix of the rows is itself a good, cheaper embedding (arXiv 2509.18095). Make one with
    ``MetaEmbed.from_pretrained``. Methods may be called from several threads; they take turns.

    Attributes:
        config: the model's config.
        encoder: the sentence-transformers MultiVectorEncoder underneath.
        fingerprint: changes whenever the embeddings would.
    """

    def __init__(self, config: ModelConfig, encoder: MultiVectorEncoder, fingerprint: str) -> None:
        self.config = config
        self.encoder = encoder
        self.fingerprint = fingerprint
        self._lock = RLock()

    @classmethod
    def from_pretrained(cls, name: str | Path = "mini", *, device: str | None = None) -> MetaEmbed:
        """Load a model.

        Args:
            name: a model that comes with the package ("mini"), a model folder, or a hub id.
            device: torch device; None lets torch choose.

        Raises:
            ModelError: no such model, or its files are damaged.
        """
        folder = _find_folder(name)
        config = ModelConfig.load(folder)
        encoder = build_encoder(config, device=device)
        load_adapter(encoder, config, folder)
        return cls(config, encoder, _fingerprint(folder))

    def __repr__(self) -> str:
        return (
            f"MetaEmbed({self.config.name!r}, query_tokens={self.query_tokens}, "
            f"document_tokens={self.document_tokens}, dim={self.dim})"
        )

    @property
    def dim(self) -> int:
        """Width of each vector."""
        return parts(self.encoder)[1].get_embedding_dimension()

    @property
    def query_tokens(self) -> int:
        """Query Meta Tokens at the full budget."""
        return self.config.query_tokens

    @property
    def document_tokens(self) -> int:
        """Document Meta Tokens at the full budget."""
        return self.config.document_tokens

    def encode_queries(
        self, queries: Sequence[str], *, budget: BudgetLike | None = None, batch_size: int = 32
    ) -> FloatArray:
        """Embed queries.

        With a budget only its query Meta Tokens are appended and computed. The rows equal the first rows
        of the full embedding (1e-5): Meta Tokens attend to the text and to earlier Meta Tokens, never to
        later ones, on bidirectional backbones as on causal ones.

        Args:
            queries: texts. One longer than the window is cut, with a TruncationWarning.
            budget: as in ``Budget.parse``; None is the full one.
            batch_size: texts a forward pass.

        Returns:
            float32 ``[n, q, dim]``, rows of unit length.
        """
        texts = _texts(queries, "encode_queries")
        count = self.query_tokens if budget is None else min(Budget.parse(budget).query, self.query_tokens)
        self._warn_if_cut(texts)
        return self._encode(texts, "query", count, batch_size)

    def encode_documents(
        self, documents: Sequence[Document], *, budget: BudgetLike | None = None, batch_size: int = 32
    ) -> FloatArray:
        """Embed documents: one embedding each.

        Args:
            documents: texts (a string is always text), PIL pictures, or Pages. A text backbone reads a
                picture through OCR. A text longer than the window is cut, with a TruncationWarning: use
                ``windows`` first, as MetaEmbedIndex does, to embed all of it.
            budget: as in ``Budget.parse``; None is the full one.
            batch_size: documents a forward pass.

        Returns:
            float32 ``[n, d, dim]``, rows of unit length.
        """
        if isinstance(documents, (str, Page)):
            raise InputError("encode_documents takes a list of documents, not a single one: wrap it in a list")
        texts = [_document_text(document) for document in documents]
        count = self.document_tokens if budget is None else min(Budget.parse(budget).document, self.document_tokens)
        self._warn_if_cut(texts)
        return self._encode(texts, "document", count, batch_size)

    def score(self, queries: FloatArray, documents: FloatArray, *, budget: BudgetLike | None = None) -> FloatArray:
        """MaxSim of every query with every document.

        Args:
            queries: ``[n, q, dim]`` from ``encode_queries``.
            documents: ``[m, d, dim]`` from ``encode_documents``.
            budget: uses the leading rows only; None uses all rows given.

        Returns:
            float32 ``[n, m]``.

        Raises:
            BudgetError: the arrays have fewer rows than the budget asks for.
        """
        if budget is not None:
            wanted = Budget.parse(budget)
            if queries.shape[1] < wanted.query or documents.shape[1] < wanted.document:
                raise BudgetError(
                    f"budget {wanted} needs more rows than the embeddings have "
                    f"({queries.shape[1]},{documents.shape[1]}): encode them with at least this budget"
                )
            queries, documents = queries[:, : wanted.query], documents[:, : wanted.document]
        return maxsim(queries, documents)

    def windows(self, text: str) -> list[Window]:
        """The parts of ``text`` that the backbone reads one at a time; together they cover all of it."""
        with self._lock:
            return self._windows(text, 0)

    def _windows(self, text: str, start: int) -> list[Window]:
        encoding = self.encoder.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        parts = cut_windows(text, encoding["offset_mapping"], self._capacity)
        if len(parts) == 1:
            return [Window(text, (start, start + len(text)))]
        # Each part is measured by itself: one that begins inside a word may take more tokens than it did there.
        return [window for part in parts for window in self._windows(part.text, start + part.span[0])]

    @property
    def _capacity(self) -> int:
        return int(self.config.window - self.encoder.tokenizer.num_special_tokens_to_add())

    def _encode(self, texts: list[str], task: str, count: int, batch_size: int) -> FloatArray:
        if not texts:
            return np.empty((0, count, self.dim), dtype=np.float32)
        with self._lock:
            rows: Sequence[FloatArray] = self.encoder.encode(  # type: ignore[assignment]
                texts,
                task=task,
                budget=count,
                batch_size=batch_size,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        embeddings = cast("FloatArray", np.stack(rows).astype(np.float32, copy=False))
        if not np.isfinite(embeddings).all():
            raise ModelError(f"{self!r} produced values that are not finite; its weights are damaged")
        return embeddings

    def _warn_if_cut(self, texts: Sequence[str]) -> None:
        # A token takes a character at least, so short texts need no second tokenisation.
        cut = [text for text in texts if len(text) > self._capacity and len(self.windows(text)) > 1]
        if cut:
            warnings.warn(
                f"{len(cut)} of {len(texts)} texts are longer than the window of {self.config.window} tokens and "
                "were cut; MetaEmbed.windows splits them so that nothing is lost",
                TruncationWarning,
                stacklevel=3,
            )


def _find_folder(name: str | Path) -> Path:
    packaged = PRETRAINED / str(name)
    if isinstance(name, str) and name.isidentifier() and (packaged / CONFIG_FILE).is_file():
        return packaged
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    return _download(str(name))


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        # Only data files: a model folder never brings code or pickles.
        return Path(snapshot_download(repository, allow_patterns=["*.json", "*.safetensors", "*.md"]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        packaged = ", ".join(sorted(path.name for path in PRETRAINED.iterdir() if path.is_dir()))
        raise ModelError(
            f"{repository!r} is neither a packaged model ({packaged}), nor a model folder, nor a hub id that "
            f"can be reached: {error}"
        ) from error


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, ADAPTER_FILE, HEAD_FILE):
        if (folder / name).is_file():
            digest.update(f"{name}:{file_sha256(folder / name)}\n".encode())
    return digest.hexdigest()[:16]


def _texts(queries: Sequence[str], where: str) -> list[str]:
    if isinstance(queries, str):
        raise InputError(f"{where} takes a list of texts, not a single one: wrap it in a list")
    return [check_text("a query", text) for text in queries]


def _document_text(document: Document) -> str:
    if isinstance(document, (str, Page)):
        return check_text("a document", document.text if isinstance(document, Page) else document)
    from PIL.Image import Image as PilImage

    if isinstance(document, PilImage):
        from metaembed_rag.pages.ocr import shared_reader

        return shared_reader().read(document)[0]
    raise InputError(f"a document is a text, a PIL picture or a Page, not {type(document).__name__}")
