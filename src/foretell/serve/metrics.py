"""What a server has counted, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretell.catalog import Away, Known
from foretell.engine.decisions import by_device, gauges
from foretell.observe import prometheus
from foretell.observe.process import process_exposition, rss_bytes
from foretell.observe.stats import Stats
from foretell.repository.loader import Loader

if TYPE_CHECKING:
    from foretell.serve.application import Application


def metrics_of(application: Application) -> str:
    """Of this process."""
    server = application.server
    known, loader = application.catalog.known(), application.loader
    models = [_of(one, one.recorder, loader) for one in known if isinstance(one.recorder, Stats)]
    figures = {
        "http_connections": float(server.connections),
        "http_connections_refused_total": float(server.refused_connections),
        "http_held_body_bytes": float(server.held.bytes),
        "http_unauthorized_total": float(application.guard.unauthorized),
        "http_rate_limited_total": float(application.guard.limited),
    }
    if server.access_log is not None:
        lines = server.access_log.lines
        figures["access_log_lines_total"] = float(lines.written)
        figures["access_log_lines_dropped_total"] = float(lines.dropped)
    memory = rss_bytes()
    if memory is not None:
        figures["process_resident_memory_bytes"] = float(memory)
    text = prometheus.exposition(models, figures, server.responses_by_class()) + process_exposition()
    if application.prediction_log is not None:
        text += application.prediction_log.exposition()
    text += application.trials.exposition()
    if loader is not None:
        text += loader.intake.loads.exposition()
        text += loader.room.exposition() if loader.room is not None else ""
    return text


def _of(one: Known, stats: Stats, loader: Loader | None) -> prometheus.ModelMetrics:
    if isinstance(one, Away):
        wanted, key = loader.wanted if loader is not None else None, (one.name, one.version)
        waiting = wanted.waiting(key) if wanted is not None else 0
        ready = loader is not None and loader.answers(one)
        return prometheus.ModelMetrics(one.name, one.version, stats, waiting, 0, ready)
    engine = one.engine
    return prometheus.ModelMetrics(
        one.name,
        one.version,
        stats,
        engine.waiting_rows,
        engine.cached_rows,
        engine.ready,
        gauges(engine),
        engine.streams.running if engine.streams else 0,
        by_device(engine),
    )
