"""Page pictures in terminals: kitty's protocol, iTerm2's, sixels, or half blocks of coloured text."""

from __future__ import annotations

import base64
import os
import select
import sys
import time
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Literal, TextIO, TypeAlias, get_args

import numpy as np

from metaembed_rag.display.thumbnail import thumbnail
from metaembed_rag.errors import InputError, MetaEmbedError

if TYPE_CHECKING:
    from PIL.Image import Image

    from metaembed_rag.hit import Hit

Protocol: TypeAlias = Literal["kitty", "iterm2", "sixel", "blocks"]

#: Overrules what is detected: kitty, iterm2, sixel or blocks.
PICTURES_VARIABLE = "METAEMBED_PICTURES"

#: Columns a picture takes at most, and pixels of a column where the terminal shows real pictures.
COLUMNS = 60
_PIXELS_PER_COLUMN = 10
#: Seconds a terminal has to say what it can do.
_ANSWER_WITHIN = 0.3
#: Bytes of base64 in one command of kitty's protocol.
_KITTY_CHUNK = 4096
_SIXEL_COLOURS = 255


def show_pictures(hits: Sequence[Hit], *, stream: TextIO | None = None, protocol: Protocol | None = None) -> None:
    """Draw the pages of hits in the terminal, each under a line that names it.

    Args:
        hits: whose pages to draw; where there is no picture, a line says why.
        stream: the terminal; standard output by default.
        protocol: how to draw; None detects it.

    Raises:
        InputError: ``stream`` is not a terminal.
    """
    stream = sys.stdout if stream is None else stream
    if not stream.isatty():
        raise InputError("pictures are drawn in a terminal, and the output is none; write a report with --html FILE")
    way = protocol or detect_protocol()
    for rank, hit in enumerate(hits, 1):
        stream.write(f"\n{rank}. {_printable(hit.source)}, page {hit.page}, score {hit.score:.3f}\n")
        try:
            image = hit.image(dpi=110)
        except (MetaEmbedError, OSError) as error:
            stream.write(f"   no picture: {_printable(getattr(error, 'reason', '') or str(error))}\n")
            continue
        if image is None:
            stream.write("   plain text, nothing to draw\n")
            continue
        stream.write(encode_picture(image, way, columns=_columns(stream)) + "\n")
    stream.flush()


def detect_protocol(environment: Mapping[str, str] | None = None, *, ask: bool = True) -> Protocol:
    """What the terminal can draw, by its environment and, for sixels, by asking it.

    Args:
        environment: ``os.environ`` by default.
        ask: put the question to the terminal where the environment does not tell.

    Raises:
        InputError: ``$METAEMBED_PICTURES`` names no protocol.
    """
    env = os.environ if environment is None else environment
    wanted = env.get(PICTURES_VARIABLE)
    if wanted:
        for known in get_args(Protocol):
            if wanted.lower() == known:
                return known  # type: ignore[no-any-return]
        raise InputError(f"${PICTURES_VARIABLE}={wanted!r} is not known: use {', '.join(get_args(Protocol))}")
    term, program = env.get("TERM", ""), env.get("TERM_PROGRAM", "")
    if not (env.get("TMUX") or term.startswith(("screen", "tmux"))):
        # A multiplexer in between does not hand these two on.
        if env.get("KITTY_WINDOW_ID") or "kitty" in term or "ghostty" in (term + program).lower():
            return "kitty"
        if program in ("iTerm.app", "WezTerm") or env.get("LC_TERMINAL") == "iTerm2":
            return "iterm2"
    if "sixel" in term or term.startswith(("foot", "mlterm", "yaft")):
        return "sixel"
    return "sixel" if ask and term not in ("", "dumb") and _answers_sixel() else "blocks"


def encode_picture(image: Image, protocol: Protocol, *, columns: int = COLUMNS) -> str:
    """``image`` as what a terminal draws ``columns`` columns wide, without a newline at the end.

    Raises:
        InputError: no such protocol.
    """
    if protocol == "blocks":
        return _blocks(image, columns)
    small = thumbnail(image, columns * _PIXELS_PER_COLUMN)
    if protocol == "kitty":
        return _kitty(_png(small))
    if protocol == "iterm2":
        data = _png(small)
        name = f"inline=1;size={len(data)};width={small.width}px;preserveAspectRatio=1"
        return f"\x1b]1337;File={name}:{base64.b64encode(data).decode('ascii')}\a"
    if protocol == "sixel":
        return _sixel(small)
    raise InputError(f"protocol {protocol!r} is not known: use {', '.join(get_args(Protocol))}")


def _png(image: Image) -> bytes:
    target = BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def _kitty(data: bytes) -> str:
    """Transmit and show a PNG (a=T, f=100); q=2 keeps the terminal from answering into our input."""
    encoded = base64.b64encode(data).decode("ascii")
    chunks = [encoded[at : at + _KITTY_CHUNK] for at in range(0, len(encoded), _KITTY_CHUNK)]
    parts = []
    for index, chunk in enumerate(chunks):
        keys = "a=T,f=100,q=2," if index == 0 else ""
        parts.append(f"\x1b_G{keys}m={int(index < len(chunks) - 1)};{chunk}\x1b\\")
    return "".join(parts)


def _sixel(image: Image) -> str:
    """DEC sixels: bands of six rows, a run-length line for each colour that occurs in a band."""
    from PIL.Image import Dither

    flat = image.quantize(_SIXEL_COLOURS, dither=Dither.NONE)
    palette = (flat.getpalette() or [])[: 3 * _SIXEL_COLOURS]
    pixels = np.asarray(flat)
    height, width = pixels.shape
    parts = [f'\x1bP0;1;0q"1;1;{width};{height}']
    for colour in range(len(palette) // 3):
        red, green, blue = (round(value * 100 / 255) for value in palette[3 * colour : 3 * colour + 3])
        parts.append(f"#{colour};2;{red};{green};{blue}")
    for top in range(0, height, 6):
        band = pixels[top : top + 6]
        bits = (1 << np.arange(len(band), dtype=np.uint8))[:, None]
        lines = [f"#{colour}{_runs(((band == colour) * bits).sum(axis=0))}" for colour in np.unique(band)]
        parts.append("$".join(lines) + "-")
    return "".join(parts) + "\x1b\\"


def _runs(values: np.ndarray) -> str:
    """Sixel characters of one colour's line, equal ones counted."""
    borders = np.flatnonzero(np.diff(values)) + 1
    starts = np.concatenate(([0], borders))
    lengths = np.diff(np.concatenate((starts, [len(values)])))
    parts = []
    for start, length in zip(starts, lengths, strict=True):
        sign = chr(63 + int(values[start]))
        parts.append(f"!{length}{sign}" if length > 3 else sign * int(length))
    return "".join(parts)


def _blocks(image: Image, columns: int) -> str:
    """Two pixels a character: the upper half block in its colour on the lower pixel's."""
    from PIL.Image import Resampling

    picture = image.convert("RGB")
    width = max(1, min(columns, picture.width))
    height = max(2, 2 * round(width * picture.height / picture.width / 2))
    pixels = np.asarray(picture.resize((width, height), Resampling.LANCZOS))
    lines = []
    for top in range(0, height, 2):
        line, last = "", ""
        for upper, lower in zip(pixels[top].tolist(), pixels[top + 1].tolist(), strict=True):
            colours = "\x1b[38;2;{};{};{};48;2;{};{};{}m".format(*upper, *lower)
            line += ("" if colours == last else colours) + "▀"
            last = colours
        lines.append(line + "\x1b[0m")
    return "\n".join(lines)


def _columns(stream: TextIO) -> int:
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return COLUMNS
    return max(10, min(COLUMNS, width - 2)) if width else COLUMNS


def _answers_sixel() -> bool:
    """Whether the terminal names sixels (4) among its primary device attributes."""
    try:
        import termios
        import tty
    except ImportError:
        return False
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    answer = b""
    try:
        tty.setcbreak(keyboard)
        sys.stdout.write("\x1b[c")
        sys.stdout.flush()
        end = time.monotonic() + _ANSWER_WITHIN
        while b"c" not in answer and (left := end - time.monotonic()) > 0:
            if not select.select([keyboard], [], [], left)[0]:
                break
            answer += os.read(keyboard, 64)
    except (OSError, termios.error):
        return False
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)
    return answer.startswith(b"\x1b[?") and b"4" in answer[3:].rstrip(b"c").split(b";")


def _printable(text: str) -> str:
    """Without control characters: a file's name must not steer the terminal."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)
