"""Replace secrets in a stream of bytes before anybody stores it.

A secret is found as it was given and as programs like to write it: JSON-escaped (once, twice, Go's way),
percent-encoded, and base64 at any alignment.  Split and whole input give the same output.  A secret that Terraform
wraps over two lines (one with blanks in a human diagnostic) is not found.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from ahocorasick_rs import BytesAhoCorasick

MASK = b"(sensitive)"

#: Shorter values are not masked: they would hit ordinary text everywhere.
SHORTEST = 6

#: Longer patterns are cut into pieces of this length, so that no more than this is ever held back.
PIECE = 64

_GO_ESCAPES = {c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def mask(data: bytes, secrets: Iterable[str]) -> tuple[bytes, int]:
    """*data* without its *secrets*, and how many were replaced."""
    masker = Masker(secrets)
    return masker.feed(data) + masker.finish(), masker.count


def patterns(secrets: Iterable[str]) -> set[bytes]:
    """Every piece of text that gives one of *secrets* away."""
    found: set[bytes] = set()
    for secret in secrets:
        lines = {line.strip() for line in secret.splitlines()} if len(secret.splitlines()) > 1 else {secret}
        for value in lines:
            if len(value.encode(errors="surrogatepass")) >= SHORTEST:
                found.update(_spellings(value))
        if len(secret.encode(errors="surrogatepass")) >= SHORTEST:
            found.update(_base64(secret.encode(errors="surrogatepass")))
    return {piece for pattern in found if len(pattern) >= SHORTEST for piece in _pieces(pattern)}


def _spellings(value: str) -> Iterator[bytes]:
    ascii_json, plain_json = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    once = {ascii_json, plain_json, _go(ascii_json), _go(plain_json)}
    twice = {spelling for text in once for spelling in (json.dumps(text, ensure_ascii=False)[1:-1],)}
    raw = value.encode(errors="surrogatepass")
    percent = {quote(raw, safe=""), quote_plus(raw), quote(raw, safe="/"), quote(raw, safe="$&+=:@")}
    for text in {value} | once | twice | {_go(text) for text in twice} | percent:
        yield text.encode(errors="surrogatepass")
    yield from _base64(raw)


def _go(text: str) -> str:
    """As Go's encoder writes it, Terraform's among them: no character that HTML cares about."""
    return "".join(_GO_ESCAPES.get(character, character) for character in text)


def _base64(raw: bytes) -> Iterator[bytes]:
    """*raw* by itself, and the characters that depend on it alone wherever in a longer text it begins."""
    yield base64.b64encode(raw)
    yield base64.urlsafe_b64encode(raw)
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw)
        inner = whole[(0, 2, 3)[before] : len(whole) - (0, 3, 2)[(before + len(raw)) % 3]]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _pieces(pattern: bytes) -> Iterator[bytes]:
    yield from (pattern[at : at + PIECE] for at in range(0, len(pattern) - PIECE, PIECE))
    yield pattern[-PIECE:]


class Masker:
    """Feed it chunks; it returns what may be written so far.

    It keeps back only the longest tail that could be the beginning of a secret, on average one byte.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted(patterns(secrets))
        self._automaton = BytesAhoCorasick(known) if known else None
        self._prefixes = {pattern[:length] for pattern in known for length in range(1, len(pattern))}
        self._longest_prefix = max((len(pattern) for pattern in known), default=1) - 1
        self._held = b""
        self._held_covered = 0  # how many bytes of what is held belong to a secret already seen whole
        self._after_mask = False
        self.count = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take *chunk*; give back, masked, all that no later byte can change."""
        if self._automaton is None:
            return chunk
        return self._release(self._held + chunk, final=False)

    def finish(self) -> bytes:
        """What was held back; the masker can then go on with a text of its own."""
        rest = self._release(self._held, final=True)
        self._after_mask = False
        return rest

    def whole(self, text: bytes) -> bytes:
        """*text*, which has nothing to do with the stream, without secrets; not counted."""
        other = copy.copy(self)
        other._held, other._held_covered, other._after_mask = b"", 0, False
        return other.feed(text) + other.finish()

    def _release(self, text: bytes, *, final: bool) -> bytes:
        settled = len(text) if final else self._open_tail(text)
        out: list[bytes] = []
        at = 0
        for start, end in self._covered(text):
            if start >= settled:
                break
            if start > at:
                out.append(text[at:start])
                self._after_mask = False
            if not self._after_mask:
                out.append(MASK)
                self.count += 1
                self._after_mask = True
            at = end
        if at < settled:
            out.append(text[at:settled])
            self._after_mask = False
        if settled:
            self._held_covered = max(0, at - settled)
        self._held = text[settled:]
        return b"".join(out)

    def _covered(self, text: bytes) -> Iterator[tuple[int, int]]:
        """The stretches of *text* that secrets cover, in order, apart from each other."""
        start, end = 0, self._held_covered
        if self._automaton is not None:
            hits = self._automaton.find_matches_as_indexes(text, overlapping=True)
            for first, last in sorted((first, last) for _, first, last in hits):
                if first > end:
                    if end > start:
                        yield start, end
                    start = first
                end = max(end, last)
        if end > start:
            yield start, end

    def _open_tail(self, text: bytes) -> int:
        """Where the longest tail begins that a later byte may complete to a secret."""
        for length in range(min(self._longest_prefix, len(text)), 0, -1):
            if text[-length:] in self._prefixes:
                return len(text) - length
        return len(text)
