"""Hostile bytes, texts and JSON-like values, all drawn from a seeded generator."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

#: Whole numbers at the borders of what readers, engines and C types hold.
NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, 2**64, -(2**63))
FLOATS = (0.0, -0.0, 0.1, 1e-320, 1e308, -1e308, float("inf"), float("-inf"), float("nan"))

#: Words that would mean something to a query language, a shell, a path, a template or a terminal.
WORDS = (
    "", " ", "a", "0", "true", "null", "*", "?", "%", "..", "../../etc/passwd", "/", "\\", "C:\\", "~", "$HOME",
    "`id`", "$(id)", "; rm", "| cat", "&&", "' OR '1'='1", '" OR ""="', "x' UNION SELECT", "{{7*7}}", "${7*7}",
    "{0}", "%s%n", "<script>alert(1)</script>", "<!--", "]]>", "\x00", "a\x00b", "\x1b[2J", "\r\n", "\n", "\t",
    "\u202e", "\u200b", "\ufeff", "\ud800", "\udfff", "\U0010ffff", "ﬁ", "İ", "ß", "e\u0301", "日本語", "👩‍👩‍👧", "NaN",
    "Infinity", "-0", "1e999", "0x10", "2024-01-01", "2024-13-99", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "__class__", "__proto__", "metadata", "metadata.", "metadata.metadata",
    "metadata.id", "id", "source", "page", "state", "kind", "and", "or", "not", "in", "not_in", "exists", "gt",
    "gte", "lt", "lte", "a.b", "a..b", ".", "a[]", "a[0]", 'a"b', "--help", "-", "--", "-1",
)  # fmt: skip

_NUMBER = re.compile(rb"\d+")


def mutate(generator: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """``data`` with one to eight changes, of the kinds that parsers trip over."""
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 3, 8))):
        generator.choice(_MUTATIONS)(generator, changed, corpus)
    return bytes(changed)


def _flip(generator: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    for _ in range(generator.choice((1, 1, 4, 32))):
        if data:
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)


def _overwrite(generator: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    start, length = _span(generator, data)
    fill = generator.choice((b"\x00", b"\xff", b"\x80", b"%", b" ", None))
    data[start : start + length] = generator.randbytes(length) if fill is None else fill * length


def _truncate(generator: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    del data[generator.randrange(len(data) + 1) :]


def _drop(generator: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    start, length = _span(generator, data)
    del data[start : start + length]


def _insert(generator: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    start, length = _span(generator, data)
    data[start:start] = generator.randbytes(length)


def _repeat(generator: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    start, length = _span(generator, data)
    data[start:start] = bytes(data[start : start + length]) * generator.choice((1, 2, 50))


def _splice(generator: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    other = generator.choice(corpus)
    start, length = _span(generator, other)
    at = generator.randrange(len(data) + 1)
    data[at : at + generator.choice((0, length))] = other[start : start + length]


def _renumber(generator: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    """Written numbers become extreme ones: counts, lengths, offsets, sizes."""
    found = list(_NUMBER.finditer(bytes(data[: 1 << 20])))
    for match in generator.sample(found, min(len(found), generator.choice((1, 3, 10)))):
        data[match.start() : match.end()] = str(generator.choice(NUMBERS)).encode()
        if generator.random() < 0.5:
            return


def _renumber_binary(generator: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    width = generator.choice((1, 2, 4, 8))
    at = generator.randrange(max(1, min(len(data), generator.choice((64, 1 << 30)))))
    value = generator.choice(NUMBERS) % (1 << (8 * width))
    data[at : at + width] = value.to_bytes(width, generator.choice(("big", "little")))


def _reword(generator: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    at = generator.randrange(len(data) + 1)
    data[at:at] = generator.choice(WORDS).encode("utf-8", "surrogatepass")


_MUTATIONS = (
    _flip, _overwrite, _truncate, _drop, _insert, _repeat, _splice, _renumber, _renumber, _renumber_binary, _reword,
)  # fmt: skip


def _span(generator: random.Random, data: bytes | bytearray) -> tuple[int, int]:
    start = generator.randrange(len(data) + 1)
    return start, min(generator.choice((1, 4, 16, 256, 4096)), len(data) - start)


def hostile_text(generator: random.Random) -> str:
    """A text of hostile words, now and then a long one."""
    if generator.random() < 0.1:
        return generator.choice(WORDS) * generator.choice((10, 1000, 20_000))
    return generator.choice(("", " ", "\n")).join(generator.choices(WORDS, k=generator.choice((1, 1, 2, 5))))


def hostile_value(generator: random.Random, depth: int = 3) -> Any:
    """A value as JSON has them, and some that only Python has."""
    kind = generator.randrange(14 if depth else 9)
    if kind == 0:
        return generator.choice((None, True, False))
    if kind in (1, 2):
        return generator.choice(NUMBERS) * generator.choice((1, 1, 1, -1, 2**70))
    if kind == 3:
        return generator.choice(FLOATS)
    if kind in (4, 5, 6):
        return hostile_text(generator)
    if kind == 7:
        return generator.choice((b"bytes", 1j, object(), Ellipsis, int, lambda: 0, 10**400))
    if kind == 8:
        return generator.choice((
            date.min, date.max, datetime(1, 1, 1), datetime(9999, 12, 31), datetime(2024, 1, 1),
            datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-23, minutes=-59))),
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23, minutes=59))),
        ))  # fmt: skip
    if kind in (9, 10):
        values = [hostile_value(generator, depth - 1) for _ in range(generator.choice((0, 1, 2, 5)))]
        return tuple(values) if generator.random() < 0.2 else values
    if kind == 11 and generator.random() < 0.1:
        return nested(generator, generator.choice((50, 500, 5_000)))
    return {
        hostile_key(generator): hostile_value(generator, depth - 1) for _ in range(generator.choice((0, 1, 1, 2, 4)))
    }


def hostile_key(generator: random.Random) -> Any:
    return generator.choice(NUMBERS) if generator.random() < 0.05 else generator.choice(WORDS)


def nested(generator: random.Random, depth: int) -> Any:
    """A value so deep that reading it by recursion may end the process."""
    value: Any = 1
    shape = generator.choice(("not", "and", "or", "a", None))
    for _ in range(depth):
        value = [value] if shape in ("and", "or", None) else value
        value = value if shape is None else {shape: value}
    return value
