"""What the workers of one server ask of each other."""

from __future__ import annotations

from typing import Any

from foretell.errors import ModelNotFound, NotReady, Overloaded
from foretell.repository.loader import Loader
from foretell.serve.application import Application
from foretell.serve.together import Key
from foretell.workers.siblings import Siblings
from foretell.workers.supervisor import METRICS

_READY, _LOAD, _UNLOAD = "ready", "load", "unload"
_READY_WITHIN_S = 0.5
_METRICS_WITHIN_S = 2.0
_LOAD_WITHIN_S = 3600.0


class Others:
    """The other workers, as the door asks for them."""

    def __init__(self, siblings: Siblings) -> None:
        self._siblings = siblings

    async def metrics(self) -> str:
        return str(await self._siblings.ask_supervisor(METRICS, limit_s=_METRICS_WITHIN_S))

    async def ready(self, key: Key | None) -> bool:
        """Who says nothing counts for nothing: a worker that died is replaced, and takes nobody in until then."""
        try:
            told = await self._siblings.ask(_READY, key, limit_s=_READY_WITHIN_S)
        except (NotReady, Overloaded):
            return True  # nobody has said otherwise
        return all(told.replies.values())

    async def load(self, name: str) -> None:
        await self._tell(_LOAD, name, "loaded")

    async def unload(self, name: str) -> None:
        await self._tell(_UNLOAD, name, "taken out")

    async def _tell(self, what: str, name: str, done: str) -> None:
        """Those that start later are told, too. Who is missing has died, and so does not differ any more."""
        told = await self._siblings.ask(what, name, limit_s=_LOAD_WITHIN_S, keep=f"model {name}")
        for worker, error in told.errors.items():
            raise NotReady(f"not every worker has {done} {name!r}, worker {worker}: {error}", fix="try again")


def answer_for(application: Application, loader: Loader, siblings: Siblings) -> None:
    """Replies to what the others ask of this one."""

    async def metrics(_: Any) -> str:
        return application.metrics()

    async def ready(key: Any) -> bool:
        return application.is_ready(None if key is None else (str(key[0]), str(key[1])))

    async def load(name: Any) -> None:
        if application.repository is not None:
            await application.repository.load(str(name))

    async def unload(name: Any) -> None:
        try:
            await loader.unload(str(name))
        except ModelNotFound:
            return  # so it is out

    for what, handler in ((METRICS, metrics), (_READY, ready), (_LOAD, load), (_UNLOAD, unload)):
        siblings.on(what, handler)
