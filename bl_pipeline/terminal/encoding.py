"""Output in a terminal that is not UTF-8: other characters for those that it does not have, and never an error."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

_NAME = "bl_pipeline.plain"

# One character for one, so that tables stay aligned.
_SIMILAR = str.maketrans(
    {
        **dict.fromkeys("●•", "*"),
        **dict.fromkeys("─━╸╺", "-"),
        **dict.fromkeys("█▉▊▋▌", "#"),
        **dict.fromkeys("▍▎▏·", "."),
        **dict.fromkeys("…", "~"),
        **dict.fromkeys("→", ">"),
        **dict.fromkeys("\u2013\u2014", "-"),
        **dict.fromkeys("\u2018\u2019", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
    }
)


def plain(text: str, encoding: str) -> str:
    """The text, with a similar character, or a question mark, for each one that the encoding lacks."""
    return "".join(_like(character, encoding) for character in text)


def _like(character: str, encoding: str) -> str:
    for other in (character.translate(_SIMILAR), unicodedata.normalize("NFKD", character)[0]):
        try:
            other.encode(encoding)
        except UnicodeEncodeError:
            continue
        return other
    return "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end], error.encoding), error.end


def never_fail() -> None:
    """Let standard output and standard error take any text, whatever their encoding."""
    codecs.register_error(_NAME, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def readable(argument: str) -> str:
    """An argument as text that Postgres takes: bytes that the terminal's encoding does not have are read as UTF-8."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
