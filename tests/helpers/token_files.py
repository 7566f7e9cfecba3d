"""Files of tokens for one test."""

from __future__ import annotations

from pathlib import Path

from foretell.serve.token_file import added, new


def add(path: Path, name: str, *scopes: str, rate_per_s: float | None = None, burst: int | None = None) -> str:
    """Adds a token to the file, and returns its secret."""
    secret, table = new(name, scopes, rate_per_s, burst)
    with added(path, table):
        pass
    return secret


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
