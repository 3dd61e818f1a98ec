"""What a fuzz target is: one door through which input comes in."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from pathlib import Path


class UnsoundError(AssertionError):
    """The input was taken, and something about the result is wrong."""


class Target(ABC):
    """One door. Prepared once a process; ``run`` makes one input and sends it through.

    Attributes:
        folder: an empty folder, for prepared files and for the input at hand.
        seconds: processor time that one input may take.
        megabytes: memory that the process may hold at its highest.
    """

    seconds: float = 10.0
    megabytes: int = 1024

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prepare()

    def prepare(self) -> None:  # noqa: B027 - most have nothing to make
        """Make what all inputs need."""

    @abstractmethod
    def run(self, generator: random.Random) -> str | None:
        """Draw an input and send it through. One of this project's errors is a good end, so is none at all.

        Returns:
            what came of it, in a word; None is "taken".

        Raises:
            MetaEmbedError: the input was refused, as it should be.
            UnsoundError: it was taken, with a wrong result.
        """
