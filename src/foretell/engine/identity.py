"""Which answers a loaded model gives."""

from __future__ import annotations

import hashlib

from foretell.model import Model
from foretell.types import Identity


def identity_of(model: Model, name: str, version: str, digest: str) -> Identity:
    """`digest`: of its artefact. What `model.variant()` tells is known once it is loaded."""
    variant = hashlib.sha256(repr(sorted(model.variant().items())).encode()).hexdigest()
    return Identity(name, version, digest, f"sha256:{variant}")
