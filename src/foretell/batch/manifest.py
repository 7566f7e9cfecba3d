"""The manifest of an output in object storage: which objects are its parts."""

from __future__ import annotations

from typing import Any

import msgspec

from foretell.batch.address import Address
from foretell.batch.bucket import Bucket

MANIFEST = "manifest.json"


def read_manifest(bucket: Bucket, place: Address) -> dict[str, Any] | None:
    """Of the output at `place`; None where there is none, or one that foretell has not written."""
    found = bucket.read(place.below(MANIFEST).key)
    if found is None:
        return None
    try:
        manifest = msgspec.json.decode(found[0], type=dict[str, Any])
        msgspec.convert(manifest, _Manifest)
    except msgspec.MsgspecError:
        return None
    return manifest


def parts_of(manifest: dict[str, Any]) -> list[str]:
    """The keys of its parts, below the output."""
    return [part.file for part in msgspec.convert(manifest, _Manifest).parts]


class _Part(msgspec.Struct):
    file: str


class _Manifest(msgspec.Struct):
    job: str
    parts: list[_Part]
