"""Samples on their way into the model: images decoded, and a placeholder where a batch holds none.

Distributed training hangs when one process runs the vision encoder and another does not: their gradients (and,
with FSDP, their gathered weights) wait for each other. So a batch without an image brings one row more, a small
grey picture, whose embedding ``MMRLoss`` drops: real samples stay as they are, and every process runs the same
modules.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaembed_rag.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

#: Key under which a batch says that the last row of each mini-batch is a placeholder.
PLACEHOLDER = "placeholder"
#: Side of the placeholder image in pixels: two patches of the backbones at hand.
PLACEHOLDER_PIXELS = 56
#: More pixels than this is refused: a decompression bomb, not a page.
MAX_PIXELS = 100_000_000


class SampleReader:
    """Turns columns of samples into model inputs; the trainer's collator calls it in place of ``model.preprocess``.

    Args:
        preprocess: the model's own, which takes texts, PIL images and ``{"text", "image"}``.
        images: the backbone reads images.
        mini_batch_size: rows that go through the backbone at a time (GradCache); None is all of them.

    Raises:
        InputError: a mini-batch holds nothing but its placeholder.
    """

    def __init__(
        self, preprocess: Callable[..., dict[str, Any]], *, images: bool, mini_batch_size: int | None = None
    ) -> None:
        if images and mini_batch_size is not None and mini_batch_size < 2:
            raise InputError("mini_batch_size must be at least 2 for a backbone that reads images: one row is spare")
        self.preprocess = preprocess
        self.images = images
        self.mini_batch_size = mini_batch_size

    def __call__(self, inputs: Sequence[Any], **options: Any) -> dict[str, Any]:
        """Features of one column.

        Args:
            inputs: texts, or ``{"text": str or None, "image": path or None}`` with at least one of the two.
            options: as for ``model.preprocess``.

        Raises:
            InputError: an image is missing or does not decode.
        """
        samples = [load_sample(sample) for sample in inputs]
        if not self.images or not self._needs_placeholder(samples):
            return self.preprocess(samples, **options)
        rows: list[Any] = []
        size = len(samples) if self.mini_batch_size is None else self.mini_batch_size - 1
        for start in range(0, len(samples), size):
            rows += [*samples[start : start + size], placeholder()]
        return {**self.preprocess(rows, **options), PLACEHOLDER: True}

    def _needs_placeholder(self, samples: Sequence[Any]) -> bool:
        # With mini-batches, always: every process must then run equally many of them.
        return self.mini_batch_size is not None or all(isinstance(sample, str) for sample in samples)


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
    """Decode a picture to RGB.

    Raises:
        InputError: it is missing, is no picture, is cut off, or is larger than ``MAX_PIXELS``.
    """
    from PIL import Image as Pictures

    try:
        with warnings.catch_warnings():
            # Pillow warns from half of its own limit on; ours decides.
            warnings.simplefilter("ignore", Pictures.DecompressionBombWarning)
            with Pictures.open(path) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise InputError(f"image {path} has more than {MAX_PIXELS} pixels; scale it down")
                return picture.convert("RGB")
    except FileNotFoundError as error:
        raise InputError(f"image {path} is missing; image paths are relative to the data file") from error
    except (OSError, SyntaxError, ValueError, Pictures.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"image {path} does not decode ({error}); replace the file, or take its sample out of the data"
        ) from error


def check_image(path: Path) -> None:
    """Read a picture's header only, so that a wrong file is told before a training starts.

    Raises:
        InputError: it is missing or no picture.
    """
    from PIL import Image as Pictures

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pictures.DecompressionBombWarning)
            Pictures.open(path).close()
    except FileNotFoundError as error:
        raise InputError(f"image {path} is missing; image paths are relative to the data file") from error
    except (OSError, SyntaxError, ValueError, Pictures.DecompressionBombError) as error:
        raise InputError(
            f"image {path} does not decode ({error}); replace the file, or take its sample out of the data"
        ) from error


def placeholder() -> Image:
    """A grey square."""
    from PIL import Image as Pictures

    return Pictures.new("RGB", (PLACEHOLDER_PIXELS, PLACEHOLDER_PIXELS), (128, 128, 128))
