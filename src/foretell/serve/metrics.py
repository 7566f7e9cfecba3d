"""What a server has counted, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretell.engine.decisions import by_device, gauges
from foretell.observe import prometheus
from foretell.observe.process import process_exposition, rss_bytes
from foretell.observe.stats import Stats

if TYPE_CHECKING:
    from foretell.serve.application import Application


def metrics_of(application: Application) -> str:
    """Of this process."""
    server = application.server
    models = [
        prometheus.ModelMetrics(
            served.name,
            served.version,
            served.engine.recorder,
            served.engine.waiting_rows,
            served.engine.cached_rows,
            served.engine.ready,
            gauges(served.engine),
            served.engine.streams.running if served.engine.streams else 0,
            by_device(served.engine),
        )
        for served in application.all_served()
        if isinstance(served.engine.recorder, Stats)
    ]
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
    return text if application.loader is None else text + application.loader.intake.loads.exposition()
