"""The process to be killed: carries out random steps for ever and announces each before and after, on stdout.

Usage: python -m tests.reliability.kills.writer SUBJECT ENGINE FOLDER SEED FOCUS

FOCUS is the operation that it prefers. The state of the index is read from stdin; nothing there means to open it, so
that what was left is mended, and to do no more.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from tests.reliability.kills.operations import State, carry_out, plan_step
from tests.reliability.kills.subject import SUBJECTS


def main(kind: str, engine: str, folder: str, seed: int, focus: str) -> None:
    content = sys.stdin.read()
    if kind == "index":
        from tests.reliability.kills.subject import _model

        _model()  # before the clock starts: what is to be killed is not the loading of weights
    elif engine == "local":
        import qdrant_client  # noqa: F401
    say("opening")
    subject = SUBJECTS[kind](Path(folder), engine)  # type: ignore[arg-type]
    say("ready")
    while not content:
        time.sleep(1)
    state = State.from_json(content)
    generator = random.Random(seed)
    while True:
        step = plan_step(generator, state, subject.longest, focus)
        say(f"begin {step.to_json()}")
        subject.apply(step)
        say(f"done {step.to_json()}")
        state = carry_out(state, step)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
