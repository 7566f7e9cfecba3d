"""Addresses of objects."""

from __future__ import annotations

import pytest

from foretell.batch.address import Address, is_address, parse
from foretell.errors import InvalidSetting


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://box", Address("s3", "box")),
        ("s3://box/", Address("s3", "box")),
        ("s3://box/a/b.parquet", Address("s3", "box", "a/b.parquet")),
        ("s3://box/a/", Address("s3", "box", "a")),
        ("gs://my.box_1/a b/%41ü?.csv", Address("gs", "my.box_1", "a b/%41ü?.csv")),
        ("az://container/x", Address("az", "container", "x")),
    ],
)
def test_an_address_names_a_bucket_and_a_key(text: str, address: Address) -> None:
    assert is_address(text)
    assert parse(text) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize("path", ["data.csv", "/data/a.csv", "C:/data.csv", "folder:/a", "a//b"])
def test_a_path_is_no_address(path: str) -> None:
    assert not is_address(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s4://box/a", "no such kind of object storage"),
        ("http://host/a", "no such kind of object storage"),
        ("s3:///a", "names no bucket"),
        ("s3://", "names no bucket"),
        ("s3://b?x=1/a", "names no bucket"),
        ("s3://box/a//b", "an empty part"),
        ("s3://box/../b", "one of dots"),
    ],
)
def test_what_is_no_address_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        parse(text)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidSetting) as caught:
        parse("s3://AKIAKEY:hush/hush@box/a")
    assert "AKIAKEY" not in str(caught.value) and "hush" not in str(caught.value)
    with pytest.raises(InvalidSetting, match="must not hold a name or a password") as caught:
        parse("s3://AKIAKEY:hush@box/a")
    assert "AKIAKEY" not in str(caught.value) and "hush" not in str(caught.value)


def test_below_an_address_are_others() -> None:
    assert str(parse("s3://box").below("a/b")) == "s3://box/a/b"
    assert str(parse("s3://box/x").below("a")) == "s3://box/x/a"
    assert parse("s3://box/x").below("") == parse("s3://box/x")
