"""A process that sends inputs through one target and says what came of each; it may die of one.

Usage: python -m tests.reliability.fuzz.worker TARGET SEED FIRST COUNT FOLDER
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, TextIO

from metaembed_rag.errors import MetaEmbedError
from tests.reliability.fuzz.targets import load_target
from tests.reliability.memory import peak_bytes, reset_peak

#: No input may take the machine with it: what asks for more gets a MemoryError, which counts as a failure.
_MOST_BYTES = 8 << 30


def main(name: str, seed: int, first: int, count: int, folder: str) -> None:
    # Results go to a copy of stdout, so that no input's own words get between them.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
    target = load_target(name)(Path(folder))
    say(results, {"seconds": target.seconds, "megabytes": target.megabytes})
    for index in range(first, first + count):
        say(results, {"begin": index})
        reset_peak()
        started = time.process_time()
        outcome, trace = "", ""
        try:
            outcome = target.run(random.Random(f"{name} {seed} {index}")) or "taken"
        except MetaEmbedError as error:
            outcome = type(error).__name__
            if not str(error).strip():
                outcome, trace = "failure", f"{outcome} without a message"
        except BaseException as error:  # noqa: BLE001 - a panic of an engine is no Exception
            outcome, trace = "failure", "".join(traceback.format_exception(error))[-6000:]
        say(
            results,
            {
                "end": index,
                "outcome": outcome,
                "trace": trace,
                "seconds": time.process_time() - started,
                "bytes": peak_bytes(),
            },
        )
    say(results, {"finished": True})
    # Engines that an input has damaged may not end well; nothing after this is judged.
    with contextlib.suppress(BaseException):
        results.close()
    os._exit(0)


def say(results: TextIO, message: dict[str, Any]) -> None:
    results.write(json.dumps(message) + "\n")
    results.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
