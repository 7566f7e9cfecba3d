"""What the start of a server tells people, once, however many processes it has."""

from __future__ import annotations

from foretell.serve.application import Application


def serving_on(application: Application) -> list[str]:
    """Who may come in, where the server is, and what to try with the first of its models."""
    settings, listener = application.settings, application.server.listener
    host, base = listener.address[0], listener.url
    curl = f"curl {base}"
    if listener.address[1] == 0:
        curl = f"curl --unix-socket {host} http://localhost"
    together = f" with {settings.workers} workers" if settings.workers > 1 else ""
    name = application.catalog.names()[0]
    return [
        *application.guard.lines(host, encrypted=settings.tls_cert is not None),
        f"serving on {base}{together}   try: foretell inspect MODEL, or {curl}/v2/models/{name}",
    ]
