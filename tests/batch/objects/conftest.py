"""A bucket on a server of this machine, and what a client needs to reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from buckets import QUICK, use
from fault_proxy import FaultProxy
from s3_server import S3Server

from foretell.batch.address import Address
from foretell.batch.bucket import Bucket


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with S3Server("box") as server:
        use(monkeypatch, server)
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    return Bucket(Address("s3", "box"), QUICK)


@pytest.fixture
def behind(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Bucket, FaultProxy]]]:
    """Gives a bucket behind a proxy with faults, as `FaultProxy` takes them."""
    proxies: list[FaultProxy] = []

    def made(**faults: object) -> tuple[Bucket, FaultProxy]:
        proxy = FaultProxy(s3.port, **faults)  # type: ignore[arg-type]
        proxies.append(proxy)
        use(monkeypatch, s3, proxy.url)
        return Bucket(Address("s3", "box"), QUICK), proxy

    yield made
    for proxy in proxies:
        proxy.close()
