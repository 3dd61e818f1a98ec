"""The command line: hostile arguments, as a shell would pass them, to every command."""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
from pathlib import Path
from typing import Any, cast

import typer

from metaembed_rag import cli

from .hostile import WORDS, hostile_text, mutate
from .target import Target, UnsoundError

_STRANGE = ("--latency-ms", "--queries", "--version", "--verbose", "--help", "--no-such-option", "-x")
_RECIPE = b"name: x\nsources: {pairs: 10}\nsteps: 1\nbatch_size: 2\nbackbone: all-MiniLM-L6-v2\nseed: 0\n"


class CommandLine(Target):
    """Exit code 0, 1 or 2, and no traceback."""

    seconds = 120.0
    megabytes = 4096

    def prepare(self) -> None:
        self.commands = cast("Any", typer.main.get_command(cli.app)).commands
        os.chdir(self.folder)
        os.environ.pop("METAEMBED_INDEX", None)
        Path("notes").mkdir()
        Path("notes/ferry.txt").write_text("The first ferry leaves at six.")
        Path("notes/broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
        self.call(["index", "notes", "--index", "sound", "--json"])

    def run(self, generator: random.Random) -> str:
        Path("recipe.yaml").write_bytes(mutate(generator, _RECIPE, [_RECIPE]))
        arguments = self.draw(generator)
        code, said = self.call(arguments)
        if code not in (0, 1, 2) or "Traceback" in said:
            raise UnsoundError(f"{arguments} ended with code {code} and said {said[-2000:]}")
        if code and not said.strip():
            raise UnsoundError(f"{arguments} failed without a word")
        return f"exit code {code}"

    def draw(self, generator: random.Random) -> list[str]:
        """Mostly a command with as many arguments as it takes and options that it knows."""
        name, command = generator.choice(sorted(self.commands.items()))
        options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
        wanted = sum(parameter.param_type_name == "argument" for parameter in command.params)
        arguments = [name if generator.random() < 0.95 else argument(generator)]
        arguments += [argument(generator) for _ in range(generator.choice((wanted, wanted, wanted, 0, wanted + 1)))]
        for option in generator.sample(options, generator.randint(0, len(options))):
            given = [] if getattr(option, "is_flag", False) else [argument(generator)]
            arguments += [option.opts[0] if generator.random() < 0.95 else generator.choice(_STRANGE), *given]
        if generator.random() < 0.5:
            arguments += ["--index", "sound"]
        return arguments

    def call(self, arguments: list[str]) -> tuple[int, str]:
        """Run a command; its exit code and all it said, through streams that are as strict as a terminal's."""
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)
        err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
        sys.argv = ["metaembed", *arguments]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        for stream in (out, err):
            stream.seek(0)
        return code, out.read() + err.read()


def argument(generator: random.Random) -> str:
    """As a shell passes it: without NUL, bytes that are not UTF-8 as lone surrogates, and no path out of the folder."""
    sound = (
        "notes",
        "sound",
        "notes/ferry.txt",
        "recipe.yaml",
        "ferry",
        "4",
        "4,64",
        "full",
        "local",
        "http://127.0.0.1:9",
    )
    drawn = generator.choice((*sound, *sound, hostile_text(generator), generator.choice(WORDS), None))
    data = generator.randbytes(4) if drawn is None else drawn.encode("utf-8", "surrogatepass")
    word = os.fsdecode(data.replace(b"\x00", b""))
    return "absent" if leads_out(word) else word


def leads_out(word: str) -> bool:
    """Whether a word is an existing place outside the working folder, which no drill may read or change."""
    try:
        place = Path(word).expanduser().resolve()
        return place.exists() and not place.is_relative_to(Path.cwd().resolve())
    except (OSError, RuntimeError, ValueError):
        return False
