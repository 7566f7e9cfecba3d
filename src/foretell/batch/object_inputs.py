"""Inputs in object storage: what an address means, and what stands there now."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from foretell.batch.address import Address, parse
from foretell.batch.bucket import Bucket, Entry
from foretell.batch.manifest import parts_of, read_manifest
from foretell.batch.shards import InputFile
from foretell.errors import InvalidInput


def find_objects(text: str) -> list[InputFile]:
    """The object of this address; else those below it, or the parts of the output that stands there; else, with `*`,
    `?` or `[`, those that the pattern fits.

    `*` stays within a part of the key, `**` does not. Names that start with "." or "_" are left out below a prefix.
    """
    address = parse(text)
    bucket = Bucket(address)
    if address.key and (one := bucket.look(address.key)) is not None:
        return [_input(address, one)]
    if not glob.has_magic(address.key):
        entries = _below(bucket, address)
    else:
        pattern = address.key.split("/")
        fixed = "/".join(itertools.takewhile(lambda part: not glob.has_magic(part), pattern))
        entries = [entry for entry in bucket.entries(fixed) if _fits(entry.key.split("/"), pattern)]
    return [_input(address, entry) for entry in entries]


def _below(bucket: Bucket, address: Address) -> list[Entry]:
    """The objects below a prefix; where that is the output of a job, its parts."""
    manifest = read_manifest(bucket, address)
    if manifest is None:
        return [entry for entry in bucket.entries(address.key) if _is_seen(entry.key[len(address.key) :])]
    entries: dict[str, Entry] = {}
    keys = [address.below(part).key for part in parts_of(manifest)]
    for folder in sorted({key.rpartition("/")[0] for key in keys}):
        entries.update((entry.key, entry) for entry in bucket.entries(folder))
    for key in keys:
        if key not in entries:
            raise InvalidInput("the manifest names an object that is not there", where=str(replace(address, key=key)))
    return [entries[key] for key in keys]


def one_object(text: str) -> InputFile:
    """Raises `InvalidInput` where it is gone."""
    address = parse(text)
    found = Bucket(address).look(address.key)
    if found is None:
        raise InvalidInput("the object is gone", where=text)
    return _input(address, found)


def _input(address: Address, entry: Entry) -> InputFile:
    return InputFile(str(replace(address, key=entry.key)), entry.size, entry.stamp)


def _is_seen(rest: str) -> bool:
    return not any(part.startswith((".", "_")) for part in rest.strip("/").split("/"))


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a key fit those of a pattern, as paths fit patterns in a shell."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[at:], pattern[1:]) for at in range(len(parts) + 1))
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])
