"""Text as it may be stored: valid Unicode without controls, broken surrogates or presentation forms."""

from __future__ import annotations

import re
from collections.abc import Iterable

from metaembed_rag.errors import InputError

#: Ligatures that fonts put into text layers; as letters, the words can be found.
_LIGATURES = {
    "\ufb00": "ff",
    "\ufb01": "fi",
    "\ufb02": "fl",
    "\ufb03": "ffi",
    "\ufb04": "ffl",
    "\ufb05": "st",
    "\ufb06": "st",
}
#: Controls but tab, newline and carriage return; soft hyphen, zero-width marks, byte order mark; surrogates;
#: noncharacters; the private use areas, whose glyphs mean something in one font only.
_DROPPED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b\u2060\ufeff\ufff9-\uffff\ud800-\udfff\ue000-\uf8ff"
    "\U000f0000-\U0010ffff\ufdd0-\ufdef]"
)
_LIGATURE = re.compile("[\ufb00-\ufb06]")
#: What a text layer shows where it does not know its own letters.
_GARBAGE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff\ufffc-\uffff\U000f0000-\U0010ffff]"
)


def clean(text: str) -> str:
    """``text`` without characters that cannot be stored or read; ligatures become letters."""
    text = _DROPPED.sub("", text)
    return _LIGATURE.sub(lambda match: _LIGATURES[match.group()], text)


def count_garbage(text: str) -> int:
    """How many characters of ``text`` are replacement, private-use or control characters."""
    return len(_GARBAGE.findall(text))


def check_text(what: str, value: object) -> str:
    """``value``, if it is text that can be stored.

    Raises:
        InputError: not a text, or half of a surrogate pair, which no encoding can hold.
    """
    if not isinstance(value, str):
        raise InputError(f"{what} must be a text, not {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} is not valid Unicode: a lone surrogate at character {error.start}; "
            "decode it anew, or replace it with text.encode('utf-8', 'replace').decode()"
        ) from None
    return value


def check_ids(ids: object) -> list[str]:
    """``ids`` as a list of texts that can be stored.

    Raises:
        InputError: a single text, or something that is no text among them.
    """
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise InputError("this takes a list of ids, not a single one: wrap it in a list")
    return [check_text("an id", identifier) for identifier in ids]
