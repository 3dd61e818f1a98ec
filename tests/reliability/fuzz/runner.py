"""Send many inputs through a target, in worker processes that are watched and replaced when they die."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
#: Inputs a process: the next one begins with clean memory.
PER_WORKER = 500
#: Seconds on the wall after which an input counts as hanging, as a multiple of the processor time it may take.
PATIENCE = 6
START_TIMEOUT = 600


@dataclass
class FuzzReport:
    """What came of the inputs.

    Attributes:
        inputs: how many were sent.
        outcomes: how they ended, by the name of the error, or "taken".
        failures: what must not happen: the input's number, and what happened.
        slowest: processor seconds of the slowest input.
        peak_bytes: the most memory that a process held.
    """

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    slowest: float = 0.0
    peak_bytes: int = 0


def run_fuzz(name: str, count: int, *, seed: int = 0, first: int = 0) -> FuzzReport:
    """Inputs ``first`` to ``first + count`` of a target; an input is told by target, seed and number alone."""
    report = FuzzReport()
    at, end = first, first + count
    while at < end:
        with tempfile.TemporaryDirectory(prefix="metaembed-fuzz-") as folder:
            at = run_worker(name, seed, at, min(PER_WORKER, end - at), Path(folder), report)
    return report


def run_worker(name: str, seed: int, first: int, count: int, folder: Path, report: FuzzReport) -> int:
    """Run one worker until it has finished or died; returns the number of the next input."""
    with (folder / "stderr.txt").open("wb") as errors:
        room = folder / "room"
        room.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.fuzz.worker", name, str(seed), str(first), str(count), str(room)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTHONFAULTHANDLER": "1",
                "HF_HUB_OFFLINE": "1",
                "COLUMNS": "120",
            },
            text=True,
        )
    begun, patience = -1, float(START_TIMEOUT)
    seconds, megabytes = 0.0, 0
    lines = read_lines(process)
    try:
        while (message := next_message(lines, patience)) is not None:
            if "begin" in message:
                begun = message["begin"]
            elif "end" in message:
                record(report, message, seconds, megabytes << 20)
                begun = -1
            elif "megabytes" in message:
                seconds, megabytes = message["seconds"], message["megabytes"]
                patience = seconds * PATIENCE
            elif "finished" in message:
                return first + count
        if begun < 0:
            raise AssertionError(f"the {name} worker did not start:\n{tail(folder)}")
        process.wait(10)
        report.inputs += 1
        report.outcomes["failure"] += 1
        report.failures.append((begun, f"the process died with code {process.returncode}:\n{tail(folder)}"))
    except TimeoutError:
        if begun < 0:
            raise AssertionError(f"the {name} worker did not start in time:\n{tail(folder)}") from None
        report.inputs += 1
        report.outcomes["failure"] += 1
        report.failures.append((begun, f"it hangs: no end after {patience:.0f} s"))
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    return begun + 1


def read_lines(process: subprocess.Popen[str]) -> queue.SimpleQueue[str | None]:
    """What the worker says, line by line, then None; read by a thread, so that waiting for it can end."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def pump() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=pump, daemon=True).start()
    return lines


def next_message(lines: queue.SimpleQueue[str | None], patience: float) -> dict[str, Any] | None:
    """The next message; None at the end, TimeoutError if the worker is silent for longer than ``patience`` seconds."""
    try:
        line = lines.get(timeout=patience)
    except queue.Empty:
        raise TimeoutError from None
    if line is None or not line.endswith("\n"):
        return None
    message: dict[str, Any] = json.loads(line)
    return message


def record(report: FuzzReport, message: dict[str, Any], seconds: float, most_bytes: int) -> None:
    report.inputs += 1
    report.outcomes[message["outcome"]] += 1
    report.slowest = max(report.slowest, message["seconds"])
    report.peak_bytes = max(report.peak_bytes, message["bytes"])
    if message["trace"]:
        report.failures.append((message["end"], message["trace"]))
    elif message["seconds"] > seconds:
        report.failures.append((message["end"], f"it took {message['seconds']:.1f} s of processor time"))
    elif message["bytes"] > most_bytes:
        report.failures.append((message["end"], f"the process grew to {message['bytes'] >> 20} MB"))


def tail(folder: Path) -> str:
    return (folder / "stderr.txt").read_text(errors="replace")[-3000:]
