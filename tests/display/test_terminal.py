"""Pictures in terminals: what each protocol says, decoded again."""

from __future__ import annotations

import base64
import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from metaembed_rag import Budget
from metaembed_rag.display.terminal import detect_protocol, encode_picture, show_pictures
from metaembed_rag.errors import InputError
from metaembed_rag.hit import Hit

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def picture():
    pixels = np.zeros((50, 40, 3), dtype=np.uint8)
    pixels[:25, :20] = (255, 0, 0)
    pixels[25:, 20:] = (0, 0, 255)
    pixels[:25, 20:] = (255, 255, 255)
    return Image.fromarray(pixels)


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        raise OSError


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "tmux-256color", "TMUX": "socket", "KITTY_WINDOW_ID": "1"}, "blocks"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({}, "blocks"),
        ({"TERM": "xterm-kitty", "METAEMBED_PICTURES": "sixel"}, "sixel"),
    ],
)
def test_the_terminal_is_known_by_its_environment(environment, protocol):
    assert detect_protocol(environment, ask=False) == protocol


def test_an_unknown_protocol_is_refused(picture):
    with pytest.raises(InputError, match="kitty, iterm2, sixel, blocks"):
        detect_protocol({"METAEMBED_PICTURES": "crayon"})
    with pytest.raises(InputError, match="crayon"):
        encode_picture(picture, "crayon")


def test_kitty_gets_a_png_in_chunks():
    noise = Image.effect_noise((300, 300), 90).convert("RGB")
    said = encode_picture(noise, "kitty", columns=30)
    commands = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", said)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in commands) == said
    assert commands[0][0] == "a=T,f=100,q=2,m=1"
    assert [keys for keys, _ in commands[1:]] == ["m=1"] * (len(commands) - 2) + ["m=0"]
    assert max(len(data) for _, data in commands) <= 4096
    shown = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in commands))))
    assert np.array_equal(np.asarray(shown), np.asarray(noise))


def test_iterm2_gets_an_inline_file(picture):
    said = encode_picture(picture, "iterm2")
    (data,) = re.fullmatch(
        r"\x1b\]1337;File=inline=1;size=\d+;width=40px;preserveAspectRatio=1:([^\a]+)\a", said
    ).groups()
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (40, 50)


def test_sixels_are_the_picture(picture):
    shown = read_sixels(encode_picture(picture, "sixel"))
    assert shown.shape == (50, 40, 3)
    assert np.abs(shown.astype(int) - np.asarray(picture).astype(int)).max() <= 3


def read_sixels(said):
    """A reader of its own for what DEC says sixels are."""
    head = re.match(r'\x1bP0;1;0q"1;1;(\d+);(\d+)', said)
    width, height = int(head[1]), int(head[2])
    pixels = np.zeros((height + 6, width, 3), dtype=np.uint8)
    palette, colour, x, top = {}, 0, 0, 0
    body = said[head.end() : said.index("\x1b\\")]
    for token in re.finditer(r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|(\$)|(-)", body):
        number, red, green, blue, count, repeated, single, back, down = token.groups()
        if number is not None:
            colour = int(number)
            if red is not None:
                palette[colour] = [round(int(value) * 255 / 100) for value in (red, green, blue)]
        elif back:
            x = 0
        elif down:
            x, top = 0, top + 6
        else:
            bits, run = ord(repeated or single) - 63, int(count or 1)
            for row in range(6):
                if bits >> row & 1:
                    pixels[top + row, x : x + run] = palette[colour]
            x += run
    return pixels[:height]


def test_blocks_are_two_pixels_a_character(picture):
    said = encode_picture(picture, "blocks", columns=20)
    lines = said.split("\n")
    plain = [re.sub(r"\x1b\[[^m]*m", "", line) for line in lines]
    assert {len(line) for line in plain} == {20}
    assert set("".join(plain)) == {"▀"}
    assert lines[0].startswith("\x1b[38;2;255;0;0;48;2;255;0;0m")
    assert all(line.endswith("\x1b[0m") for line in lines)


def test_hits_are_drawn_under_their_names_and_names_cannot_steer_the_terminal(tmp_path, picture):
    path = tmp_path / "plan.png"
    picture.save(path)

    def hit(source, route):
        return Hit("a", 1.5, source, 1, "", {}, Budget(1, 1), (0, 0), route)

    terminal = Terminal()
    show_pictures(
        [hit(str(path), "ocr"), hit(str(tmp_path / "gone.pdf"), "layer"), hit("note\x1b[2J", "text")],
        stream=terminal,
        protocol="blocks",
    )
    said = terminal.getvalue()
    assert "1. " in said
    assert "▀" in said
    assert "no picture: no such file" in said
    assert "plain text, nothing to draw" in said
    assert "\x1b[2J" not in said


def test_no_pictures_where_there_is_no_terminal():
    with pytest.raises(InputError, match="--html FILE"):
        show_pictures([], stream=io.StringIO())


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="pseudo-terminals are a Unix matter")
@pytest.mark.parametrize(("answer", "protocol"), [(b"\x1b[?62;4;22c", "sixel"), (b"\x1b[?62;22c", "blocks")])
def test_a_terminal_is_asked_for_sixels(answer, protocol, monkeypatch):
    import threading

    ours, theirs = os.openpty()

    def terminal():
        asked = b""
        while not asked.endswith(b"\x1b[c"):
            asked += os.read(ours, 16)
        os.write(ours, answer)

    thread = threading.Thread(target=terminal)
    thread.start()
    with os.fdopen(os.dup(theirs), "r") as keyboard, os.fdopen(theirs, "w") as screen:
        monkeypatch.setattr("sys.stdin", keyboard)
        monkeypatch.setattr("sys.stdout", screen)
        found = detect_protocol({"TERM": "xterm-256color"})
    thread.join()
    os.close(ours)
    assert found == protocol
