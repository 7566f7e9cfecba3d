"""What the engine has decided by itself, for people and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.engine.engine import Engine


def decisions(engine: Engine) -> dict[str, Any]:
    """Every automatic decision as it stands now, beside the settings that bound it. Times in milliseconds."""
    settings, pool, upkeep = engine.settings, engine.pool, engine.upkeep
    batchers = engine.batchers
    objective = next((batcher.objective for batcher in batchers if batcher.objective is not None), None)
    return {
        "executor": ran_on(engine),
        "replicas": {
            "running": len(pool.members),
            "wanted": upkeep.wanted if upkeep else settings.replicas,
            "least": settings.replicas,
            "most": settings.max_replicas or settings.replicas,
            "lost": pool.lost,
        },
        "batch_rows": {
            "now": objective.rows if objective else settings.max_batch_size,
            "most": settings.max_batch_size,
        },
        "objective": {"slo_ms": settings.slo_ms, "margin_ms": objective.margin_s * 1e3} if objective else None,
        "bulk_share": max((batcher.bulk_share for batcher in batchers), default=0.0),
        "call_ms": {str(rows): seconds * 1e3 for rows, seconds in engine.profile.table().items()},
    }


def ran_on(engine: Engine) -> str:
    """Where calls run now: "inline", "thread" or "process"."""
    members = engine.pool.members
    if members and members[0].apart:
        return "process"
    return "inline" if engine.placement.inline else "thread"
