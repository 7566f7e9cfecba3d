"""Binary requests whose text is that of an earlier one, as those of one client usually are."""

from __future__ import annotations

from dataclasses import dataclass

from foretell.engine.work import Field, Part
from foretell.serve.codecs.oip_known import Asked, Numbers
from foretell.serve.codecs.oip_values import from_binary
from foretell.types import DataType

_MOST_KNOWN = 1024
_MOST_BYTES = 1024
_MOST_MISSES = 64


@dataclass(frozen=True, slots=True)
class _Known:
    asked: Asked
    tensors: tuple[tuple[Field, int, int], ...]
    """Field, bytes and elements of each input, in the order of the request."""
    places: tuple[int, ...]
    """Where each of them stands among the fields of the group."""
    size: int


class KnownBinary:
    """What a request asks, by its text, where all of its tensors follow the text as bytes.

    The same text was decoded, checked and within its limits; what is left to check is that as many bytes follow, and
    the bytes themselves. Bounded: 1,024 texts of at most 1 KiB; a full memory starts again.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        self._misses = 0

    def __len__(self) -> int:
        return len(self._known)

    def find(self, text: bytes, blobs: memoryview) -> tuple[list[Part], Asked] | None:
        """The tensors of a known request, and what it asks. Raises `InvalidInput` for bytes that are no such tensor."""
        known = self._known.get(text)
        if known is None or known.size != len(blobs):
            self._misses += 1
            return None
        self._misses = 0
        rows, at = known.asked.rows, 0
        if len(known.tensors) == 1:
            field, _, count = known.tensors[0]
            return [from_binary(blobs, field, rows, count)], known.asked
        parts: list[Part] = [[]] * len(known.tensors)
        for (field, size, count), place in zip(known.tensors, known.places, strict=True):
            parts[place] = from_binary(blobs[at : at + size], field, rows, count)
            at += size
        return parts, known.asked

    def numbers(self, body: bytes, text_length: int) -> Numbers | None:
        """Those of a known request, where they are its one tensor and any bytes are such numbers."""
        known, size = self._known.get(body[:text_length]), len(body) - text_length
        if known is None or known.size != size or not size or len(known.tensors) != 1:
            return None
        field, _, count = known.tensors[0]
        if field.datatype in (DataType.BYTES, DataType.BOOL) or known.asked.group.family is not None:
            return None
        fits = count * field.datatype.numpy.itemsize == size
        return Numbers(text_length, len(body), known.asked, bytes, size) if fits else None

    def learn(self, text: bytes, asked: Asked, tensors: list[tuple[Field, int, int]], places: list[int]) -> None:
        """Remembers a request that was decoded whole. One whose texts all differ, in an id for instance, is soon not
        learned from any more."""
        if len(text) > _MOST_BYTES or (self._misses > _MOST_MISSES and self._misses % _MOST_MISSES):
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        size = sum(size for _, size, _ in tensors)
        self._known[text] = _Known(asked, tuple(tensors), tuple(places), size)
