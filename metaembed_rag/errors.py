"""The error tree: everything this package raises on purpose is a MetaEmbedError that says what to do next."""

from __future__ import annotations

from collections.abc import Sequence


class MetaEmbedError(Exception):
    """Base of every error raised on purpose by this package."""


class BudgetError(MetaEmbedError, ValueError):
    """A budget that no Meta Tokens can meet, or that the index at hand does not store."""


class InputError(MetaEmbedError, ValueError):
    """An argument whose type, shape or value cannot be used."""


class FilterError(InputError):
    """A filter that cannot be expressed by the engine, or that is malformed."""


class MissingDependencyError(MetaEmbedError, ImportError):
    """An optional package is needed; the message names the exact install command."""


class ModelError(MetaEmbedError):
    """A model that cannot be loaded, verified or used for the input given."""


class TrainingError(MetaEmbedError):
    """A training that cannot go on; the message names the step and what to try."""


class DocumentError(MetaEmbedError):
    """A document that cannot be read.

    Attributes:
        path: the document, as it was given.
        reason: what is wrong with it and what to do, in one sentence.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[DocumentError], tuple[str, str]]:
        return type(self), (self.path, self.reason)


class DocumentNotFoundError(DocumentError, FileNotFoundError):
    """No file or folder at this path."""


class UnsupportedDocumentError(DocumentError):
    """Not a kind of file that pages can be read from."""


class CorruptDocumentError(DocumentError):
    """The file claims a supported kind but cannot be parsed."""


class EncryptedDocumentError(DocumentError):
    """The file needs a password."""


class EmptyDocumentError(DocumentError):
    """The file or folder holds nothing that could be indexed."""


class DocumentTooLargeError(DocumentError):
    """The file exceeds a limit on bytes, pages or pixels."""


class NothingIndexedError(MetaEmbedError):
    """None of several documents of one ``add`` could be indexed.

    Attributes:
        skipped: one DocumentError a document.
    """

    def __init__(self, skipped: Sequence[DocumentError]) -> None:
        lines = "\n".join(f"  {error}" for error in skipped)
        super().__init__(f"none of {len(skipped)} documents could be indexed:\n{lines}")
        self.skipped = list(skipped)

    def __reduce__(self) -> tuple[type[NothingIndexedError], tuple[list[DocumentError]]]:
        return type(self), (self.skipped,)


class StoreError(MetaEmbedError):
    """The vector store could not do what was asked."""


class IndexLockedError(StoreError):
    """Another process has this index open."""


class IndexMismatchError(StoreError):
    """The index was made by another model, another schema version, or another engine."""


class IndexClosedError(StoreError):
    """The index was closed and cannot be used any more."""


class IndexNotFoundError(StoreError):
    """There is no index where one was expected."""
