"""Who scores for a job: processes that open the model themselves, or this one with a live object."""

from __future__ import annotations

import queue
from pathlib import Path

from foretell.batch.crew import AnyCrew, Crew
from foretell.batch.hand import AnyHand, Inbox
from foretell.batch.messages import Load
from foretell.batch.model_mark import MOST_ROWS, settings_for
from foretell.config import ModelSettings
from foretell.errors import InvalidSetting
from foretell.remote.recipe import Recipe


def crew_for(model: object, settings: ModelSettings, name: str) -> AnyCrew:
    """Raises `InvalidSetting` for a setting that a live object leaves nothing to do."""
    if isinstance(model, (str, Path)):
        return Crew()
    if settings.call_timeout_s is not None:
        what = "a call of a live object cannot be ended"
        raise InvalidSetting(what, got="call_timeout_s", fix="leave it out, or name the model by its path or module")
    return LocalCrew(model, settings, name)


class LocalCrew(AnyCrew):
    """One thread of this process, with one live object."""

    def __init__(self, model: object, settings: ModelSettings, name: str) -> None:
        self.inbox: Inbox = queue.Queue()
        self._model, self._settings, self._name = model, settings, name

    def hire(self, recipe: Recipe | None) -> AnyHand:
        """`recipe` is none: the model is here."""
        from foretell.backends import open_model
        from foretell.batch.local_hand import LocalHand
        from foretell.remote.loading import Loaded, loaded_replica

        def load(task: Load) -> Loaded:
            settings = settings_for(self._settings, task.device, 0, MOST_ROWS)
            opened = open_model(self._model, settings)
            where = f"model {self._name!r}"
            return Loaded(opened, loaded_replica(opened.model, settings, where), where)

        return LocalHand(load, self.inbox)
