"""The model of a stream: loaded, called, and opened again where its process has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from foretell.clock import Clock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.model import Context, Model
from foretell.types import Identity, ModelSpec

Open = Callable[[], Model]


class Caller:
    """One engine after the other, of the same model. One thread calls it."""

    def __init__(
        self,
        model: Model,
        again: Open | None,
        settings: ModelSettings,
        name: str,
        version: str,
        digest: str,
        clock: Clock,
    ) -> None:
        """`again`: opens the same model once more; None: it cannot be lost. Raises what loading raises."""
        # A process that hangs is ended by the model itself; the engine is not to look after a replica that we replace.
        self._again, self._settings, self._clock = again, replace(settings, call_timeout_s=None), clock
        self._name, self._version, self._digest = name, version, digest
        self._engine = self._loaded(model)
        self.identity: Identity = self._engine.identity

    @property
    def spec(self) -> ModelSpec:
        return self._engine.spec

    @property
    def model(self) -> Model:
        return self._engine.model

    def run(self, batch: Batch, deadline: float | None) -> Batch:
        """As `Engine.run`. A process that has ended since the last call is replaced first."""
        if not self._engine.ready:
            self.open_again()
        device = self._settings.device
        return self._engine.run(
            batch, Context(device=device) if deadline is None else Context({}, deadline, device=device)
        )

    def open_again(self) -> None:
        """Raises what loading raises."""
        if self._again is not None:
            self._engine.close()
            self._engine = self._loaded(self._again())

    def close(self) -> None:
        self._engine.close()

    def _loaded(self, model: Model) -> Engine:
        return Engine(
            model, self._settings, name=self._name, version=self._version, digest=self._digest, clock=self._clock
        ).load()
