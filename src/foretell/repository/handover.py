"""What a version takes over from the one whose place it takes, so that it need not learn it under load."""

from __future__ import annotations

from foretell.engine.engine import Engine
from foretell.errors import NotReady


def hand_over(old: Engine, new: Engine) -> None:
    """What the old one has learned of calls by their size, where the new one knows no more than its warm-up; and how
    many replicas the load has made of it. Before `new` answers."""
    profile = new.profile
    known, recent_s = profile.table(), profile.recent_s
    if len(known) <= 1:
        profile.restore({**old.profile.table(), **known})
        profile.recent_s = recent_s  # of its own, where there is one: it decides where calls run
    if old.upkeep is not None and new.upkeep is not None:
        settings = new.settings
        with new.pool.changed:
            new.upkeep.wanted = min(old.upkeep.wanted, settings.most_replicas)
            new.upkeep.wanted = max(new.upkeep.wanted, settings.least_replicas)
            new.pool.changed.notify_all()


def wait_for_replicas(engine: Engine) -> None:
    """An engine is ready with its first replica; one that takes over needs all that it wants. Raises `NotReady`."""
    pool, upkeep = engine.pool, engine.upkeep
    if upkeep is None:
        return
    with pool.changed:
        pool.changed.wait_for(lambda: len(pool.members) >= upkeep.wanted or upkeep.last_error != "")
    if upkeep.last_error:
        raise NotReady(f"a replica could not be opened: {upkeep.last_error}", where=f"model {engine.name!r}")
