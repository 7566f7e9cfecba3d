"""Addresses of objects, such as `s3://bucket/folder/name.parquet`: pure functions over text."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from foretell.errors import InvalidSetting, nearest

SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "azure": "az", "abfs": "az", "abfss": "az"}
"""What an address may begin with, and whose store it means."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Address:
    """An object, or all objects whose keys begin with `key` and a slash. `scheme` as it was written."""

    scheme: str
    bucket: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}" if self.key else f"{self.scheme}://{self.bucket}"

    def below(self, name: str) -> Address:
        """What has `name` within this one; itself for ""."""
        return replace(self, key=f"{self.key}/{name}".strip("/")) if name else self

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]


def is_address(text: str) -> bool:
    """Whether `text` is meant as the address of an object, right or wrong, and not as a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def parse(text: str) -> Address:
    """Raises `InvalidSetting`; its text never holds what may be a secret."""
    scheme, _, rest = text.partition("://")
    bucket, _, key = rest.partition("/")
    if "@" in bucket:
        what = "an address must not hold a name or a password"
        raise InvalidSetting(
            what, where=f"{scheme}://...@{bucket.rpartition('@')[2]}", fix="set them in the environment"
        )
    if scheme.lower() not in SCHEMES:
        raise InvalidSetting("there is no such kind of object storage", where=f"{scheme}://",
                             fix=nearest(scheme.lower(), SCHEMES))  # fmt: skip
    if not _BUCKET.fullmatch(bucket):  # what stands there instead may be a secret
        what = "the address names no bucket"
        raise InvalidSetting(what, where=f"{scheme}://", expected=f"{scheme}://BUCKET/NAME")
    key = key.strip("/")
    if any(part in {"", ".", ".."} for part in key.split("/")) and key:
        raise InvalidSetting("the address has an empty part, or one of dots", where=text)
    return Address(scheme.lower(), bucket, key)
