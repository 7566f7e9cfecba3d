"""How tests reach object storage on this machine."""

from __future__ import annotations

import pytest
from s3_server import S3Server

from foretell.batch.bucket import Patience

QUICK = Patience(retries=8, first_wait_s=0.005, longest_wait_s=0.02, rounds=8, longest_round_wait_s=0.05)
"""As often as ever, with waits that a test can bear."""


def use(monkeypatch: pytest.MonkeyPatch, server: S3Server, endpoint: str | None = None) -> None:
    for name, value in {**server.environment(endpoint), "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
