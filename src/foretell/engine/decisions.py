"""What the engine has decided by itself, for people and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foretell.engine.objective import Objective

if TYPE_CHECKING:
    from foretell.engine.engine import Engine


def decisions(engine: Engine) -> dict[str, Any]:
    """Every automatic decision as it stands now, beside the settings that bound it. Times in milliseconds."""
    settings, pool, upkeep = engine.settings, engine.pool, engine.upkeep
    batchers = engine.batchers
    objective = _objective(engine)
    return {
        "executor": ran_on(engine),
        "replicas": {
            "running": len(pool.members),
            "by_device": by_device(engine),
            "wanted": upkeep.wanted if upkeep else settings.least_replicas,
            "least": settings.least_replicas,
            "most": settings.most_replicas,
            "lost": pool.lost,
            "last_loss": pool.last_loss,
            "last_failed_start": upkeep.last_code if upkeep else None,
        },
        "batch_rows": {
            "now": objective.rows if objective else settings.max_batch_size,
            "most": settings.max_batch_size,
        },
        "caller_groups": max((batcher.pace.groups for batcher in batchers), default=1),
        "objective": {"slo_ms": settings.slo_ms, "margin_ms": objective.margin_s * 1e3, "lag_ms": objective.lag_s * 1e3}
        if objective
        else None,
        "bulk_share": max((batcher.bulk_share for batcher in batchers), default=0.0),
        "call_ms": {str(rows): seconds * 1e3 for rows, seconds in engine.profile.table().items()},
    }


def by_device(engine: Engine) -> dict[str, int]:
    """How many replicas run on each device."""
    on = [member.device for member in engine.pool.members]
    return {device: on.count(device) for device in engine.settings.devices}


def gauges(engine: Engine) -> dict[str, float]:
    """The same where it is a number that changes, by the names of the metrics."""
    objective = _objective(engine)
    return {
        "replicas": len(engine.pool.members),
        "replicas_lost_total": engine.pool.lost,
        "batch_rows_limit": objective.rows if objective else engine.settings.max_batch_size,
        "bulk_share": max((batcher.bulk_share for batcher in engine.batchers), default=0.0),
        "caller_groups": max((batcher.pace.groups for batcher in engine.batchers), default=1),
        **({"slo_margin_seconds": objective.margin_s} if objective else {}),
    }


def _objective(engine: Engine) -> Objective | None:
    return next((batcher.objective for batcher in engine.batchers if batcher.objective is not None), None)


def ran_on(engine: Engine) -> str:
    """Where calls run now: "inline", "thread" or "process"."""
    members = engine.pool.members
    if members and members[0].apart:
        return "process"
    return "inline" if engine.placement.inline else "thread"
