"""Which answers a loaded model gives."""

from __future__ import annotations

import hashlib

from foretell.config import ModelSettings
from foretell.engine.invariant import ROWS
from foretell.model import Model
from foretell.types import Identity


def identity_of(model: Model, settings: ModelSettings, name: str, version: str, digest: str) -> Identity:
    """`digest`: of its artefact. What decides the numbers beside it is known once the model is loaded."""
    decides = sorted(variant_of(model, settings).items())
    return Identity(name, version, digest, f"sha256:{hashlib.sha256(repr(decides).encode()).hexdigest()}")


def variant_of(model: Model, settings: ModelSettings) -> dict[str, str]:
    """What decides the numbers beside the artefact, by name."""
    invariant = {"batch_invariant": f"{ROWS} rows", "threads": str(settings.shared_threads(1))}
    return {**model.variant(), **(invariant if settings.batch_invariant else {})}
