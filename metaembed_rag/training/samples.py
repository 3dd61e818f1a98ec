"""Samples on their way into the model: images are read from their files a batch at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaembed_rag.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

#: Key under which ``[windows]`` page numbers, ascending from 0, travel beside the features of windows.
PAGES = "pages"
#: More pixels than this is refused: a decompression bomb, not a page.
MAX_PIXELS = 100_000_000


class SampleReader:
    """Turns columns of samples into model inputs; the trainer's collator calls it in place of ``model.preprocess``.

    Args:
        preprocess: the model's own, which takes texts, PIL images and ``{"text", "image"}``.
        cut: the windows of a document's text; None reads its beginning alone.
    """

    def __init__(
        self, preprocess: Callable[..., dict[str, Any]], cut: Callable[[str], Sequence[str]] | None = None
    ) -> None:
        self.preprocess = preprocess
        self.cut = cut

    def __call__(self, inputs: Sequence[Any], **options: Any) -> dict[str, Any]:
        """Features of one column.

        Args:
            inputs: texts, or ``{"text": str or None, "image": path or None}`` with at least one of the two.
            options: as for ``model.preprocess``.

        Returns:
            what ``preprocess`` gives; of documents that are cut, the windows of all, and ``PAGES``.

        Raises:
            InputError: an image is missing or does not decode.
        """
        import torch  # who only reads data does not wait for it

        loaded = [load_sample(sample) for sample in inputs]
        if self.cut is None or options.get("task") == "query":
            return self.preprocess(loaded, **options)
        windows = [self.cut(sample) if isinstance(sample, str) else [sample] for sample in loaded]
        pages = torch.tensor([page for page, parts in enumerate(windows) for _ in parts])
        return {**self.preprocess([part for parts in windows for part in parts], **options), PAGES: pages}


def load_sample(sample: Any) -> Any:
    """A text, a PIL image, or ``{"text", "image"}`` with both, from a sample as ``read_triplets`` gives it."""
    if isinstance(sample, str):
        return sample
    text, image = sample.get("text"), sample.get("image")
    if not image:
        return text
    picture = load_image(Path(image))
    return {"text": text, "image": picture} if text else picture


def load_image(path: Path) -> Image:
    """Decode a picture, in its own mode.

    Raises:
        InputError: it is missing, is no picture, is cut off, or is larger than ``MAX_PIXELS``.
    """
    with _opened(path) as picture:
        picture.load()
        return picture.copy()


def check_image(path: Path) -> None:
    """Read a picture's header only, so that a wrong file is told before a training starts.

    Raises:
        InputError: it is missing, no picture, or larger than ``MAX_PIXELS``.
    """
    with _opened(path):
        pass


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    from PIL import Image as Pictures

    try:
        with warnings.catch_warnings():
            # Pillow warns from half of its own limit on; ours decides.
            warnings.simplefilter("ignore", Pictures.DecompressionBombWarning)
            with Pictures.open(path) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise InputError(f"image {path} has more than {MAX_PIXELS} pixels; scale it down")
                yield picture
    except FileNotFoundError as error:
        raise InputError(f"image {path} is missing; image paths are relative to the data file") from error
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Pictures.DecompressionBombError) as error:
        raise InputError(
            f"image {path} does not decode ({error}); replace the file, or take its sample out of the data"
        ) from error
