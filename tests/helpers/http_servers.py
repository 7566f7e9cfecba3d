"""What the HTTP servers of tests have in common."""

from __future__ import annotations

import http.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ManyServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    """Many connections come at once; one that is dropped is tried again a second later only."""


class QuietHandler(BaseHTTPRequestHandler):
    """Prints nothing, and lets a connection go that its other side has ended."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, http.client.HTTPException):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""
