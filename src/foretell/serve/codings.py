"""Content codings: bodies that come compressed, and replies that leave so."""

from __future__ import annotations

import re
import zlib

from foretell.errors import InvalidInput
from foretell.serve.messages import HttpError, Reply

COMPRESS_FROM_BYTES = 1024
_BITS = {b"gzip": 31, b"deflate": 15, b"x-gzip": 31}
"""As zlib tells them apart; the first is preferred, and the last its old name (RFC 9110, 8.4.1.3)."""
_BARE = -15
_MOST_MEMBERS = 4096
"""Of a gzip body: with blocks of 64 KB, as some tools write them, 256 MB."""
_PIECE_BYTES = 1 << 16
_WEIGHT = re.compile(rb"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*")


def decompressed(body: bytes | memoryview, encoding: bytes, limit: int) -> bytes | memoryview:
    """The body without its `Content-Encoding` (gzip of any number of members, or deflate), at most `limit` bytes.

    Raises `HttpError` 501 for another encoding, 413 over the limit, `InvalidInput` for damaged data.
    """
    name = _coding(encoding)
    if name is None:
        return body
    inflater = zlib.decompressobj(_bits(name, body))
    whole = _inflated(inflater, name, body, limit + 1)
    if len(whole) > limit:
        raise _too_large(limit)
    if not inflater.eof or (inflater.unused_data and _BITS[name] != _BITS[b"gzip"]):
        raise _damaged(name)
    return b"".join([whole, *_further_members(inflater.unused_data, name, len(whole), limit)])


def plain_if_small(body: bytes | memoryview, encoding: bytes, small: int, limit: int) -> bytes | memoryview | None:
    """The same where that is little work; None where it unfolds to more than `small` bytes, or has several members."""
    name = _coding(encoding)
    if name is None:
        return body
    if len(body) > small:  # looking at its beginning would copy the rest
        return None
    inflater = zlib.decompressobj(_bits(name, body))
    whole = _inflated(inflater, name, body, min(small, limit) + 1)
    if len(whole) > limit:
        raise _too_large(limit)
    if len(whole) > small or inflater.unused_data:
        return None
    if not inflater.eof:
        raise _damaged(name)
    return whole


def _further_members(rest: bytes, name: bytes, size: int, limit: int) -> list[bytes]:
    """What stands behind the first one of a gzip body (RFC 1952, 2.2), which had `size` bytes. Raises as the whole."""
    plain: list[bytes] = []
    inflater, members = None, 1
    for start in range(0, len(rest), _PIECE_BYTES):  # what follows the end of a member is copied: never much
        piece = rest[start : start + _PIECE_BYTES]
        while piece:
            if inflater is None or inflater.eof:
                inflater, members = zlib.decompressobj(_BITS[name]), members + 1
                if members > _MOST_MEMBERS:
                    raise InvalidInput(f"the {name.decode()} body has more than {_MOST_MEMBERS} members")
            plain.append(_inflated(inflater, name, piece, limit - size + 1))
            size += len(plain[-1])
            if size > limit:
                raise _too_large(limit)
            piece = inflater.unused_data
    if inflater is not None and not inflater.eof:
        raise _damaged(name)
    return plain


def _coding(encoding: bytes) -> bytes | None:
    """The name of the one coding that a body has; None: it has none. Raises `HttpError` 501 for any other."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return None
    if name not in _BITS:
        raise HttpError(
            501,
            f"Content-Encoding {name[:40].decode('latin-1')!r} is not supported; expected gzip or deflate",
            ((b"Accept-Encoding", b"gzip, deflate"),),
        )
    return name


def _bits(name: bytes, body: bytes | memoryview) -> int:
    """Deflate should be in zlib's format; many send it bare (RFC 9110, 8.4.1.2), which its first two bytes tell."""
    if name == b"deflate" and not (len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0):
        return _BARE
    return _BITS[name]


def _inflated(inflater: zlib._Decompress, name: bytes, data: bytes | memoryview, most: int) -> bytes:
    """The first `most` bytes. Raises `InvalidInput` for damaged data."""
    try:
        return inflater.decompress(data, most)
    except zlib.error as error:
        raise InvalidInput(f"the body is not valid {name.decode()}: {error}") from None


def _too_large(limit: int) -> HttpError:
    return HttpError(413, f"the decompressed body is too large; expected at most {limit} bytes")


def _damaged(name: bytes) -> InvalidInput:
    return InvalidInput(f"the {name.decode()} body is truncated or has bytes after its end")


def encoding_of(reply: Reply, accept: bytes) -> bytes | None:
    """The encoding in which the client is to have the reply; None: as it is, where none would be worth it."""
    if len(reply.body) < COMPRESS_FROM_BYTES or reply.status != 200:
        return None
    offers = [part.partition(b";") for part in accept.lower().split(b",")]
    weights = {name.strip(): _weight(parameter) for name, _, parameter in offers}
    best = max(_BITS, key=lambda name: weights.get(name, 0.0))
    wanted = weights.get(best, 0.0)
    return best if wanted and wanted >= weights.get(b"identity", 0.0) else None


def _weight(parameter: bytes) -> float:
    """How much a client wants an encoding (RFC 9110, 12.4.2); one that does not say so in order just wants it."""
    found = _WEIGHT.fullmatch(parameter)
    return float(found[1]) if found is not None else 1.0


def compressed(reply: Reply, encoding: bytes) -> Reply:
    """The reply in that encoding. Who keeps it is told that others may need another one (RFC 9110, 12.5.5)."""
    deflater = zlib.compressobj(1, zlib.DEFLATED, _BITS[encoding])
    body = deflater.compress(reply.body) + deflater.flush()
    told = ((b"Content-Encoding", encoding), (b"Vary", b"Accept-Encoding"))
    return Reply(body, reply.status, reply.content_type, (*reply.headers, *told))
