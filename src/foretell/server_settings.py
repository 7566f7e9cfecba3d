"""The settings of a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The HTTP door. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    http_port: int = 8000
    unix_socket: str | None = None
    """Path of a Unix socket to listen on instead of an address."""
    unix_socket_mode: str = "0600"
    """Who may open it: permissions of a file, octal."""
    tls_cert: str | None = None
    """Certificate and what it was signed with, PEM; with it the address speaks HTTPS only."""
    tls_key: str | None = None
    """Private key, PEM; None: it stands in the file of the certificate."""
    tls_client_ca: str | None = None
    """Clients need a certificate from one of these authorities, PEM; None: they need none."""
    allowed_hosts: tuple[str, ...] = ()
    """Names for which requests are answered, "*": any. On loopback they add to the local names; elsewhere (): any."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may read the answers in a browser, "*": any; (): none but the server's own."""
    tokens_file: str | None = None
    """Tokens, one of which every request needs but those for health; None: no token is needed."""
    rate_per_s: float | None = None
    """Requests each second from one address, where no tokens are set; None: any number."""
    rate_burst: int | None = None
    """Requests that may come at once after a rest; None: those of one second."""
    workers: int = 1
    """Processes that share the port, each with the whole of the models."""
    max_connections: int = 10_000
    max_body_bytes: int = 64 * 2**20
    max_buffered_bytes: int = 2**30
    """Of all larger bodies that are read or wait for their answer; at least two of `max_body_bytes` in any case."""
    max_header_bytes: int = 64 * 2**10
    max_headers: int = 128
    max_json_depth: int = 100
    max_elements: int = 16 * 2**20
    """Most elements of all tensors together of one request in JSON."""
    max_pipelined: int = 128
    """Unanswered requests of one connection; beyond it, reading pauses."""
    header_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    idle_timeout_s: float = 75.0
    request_timeout_s: float = 60.0
    """Longest time from acceptance to answer; a request may name a shorter one for itself."""
    stream_timeout_s: float = 600.0
    """Longest time from acceptance to the last item of a stream; `request_timeout_s` limits the wait for each item."""
    access_log: Literal["off", "combined", "json"] = "off"
    """One line for each request: in the combined format of Apache and nginx, or as a JSON object."""
    access_log_file: str | None = None
    """Where the access log is written; None: standard output."""
    canary: tuple[str, ...] = ()
    """Versions that answer a share of the requests that name none, each as "NAME=VERSION:SHARE%"."""
    shadow: tuple[str, ...] = ()
    """Versions that are asked a share of the same and compared, each as "NAME=VERSION:SHARE%"."""
    prediction_log: str | None = None
    """File, or folder, for what was asked and answered, as JSON Lines; None: nowhere."""
    prediction_log_sample: float = 1.0
    """Part of the requests that are written there, from 0 to 1."""
    prediction_log_exclude: tuple[str, ...] = ()
    """Inputs and outputs whose values are not written."""
    prediction_log_record_bytes: int = 256 * 2**10
    """Longest text of one request; of longer ones all is written but the values."""
    prediction_log_file_bytes: int = 256 * 2**20
    """Size from which a file is put aside and the next one begins."""
    prediction_log_files: int = 8
    """Files that are kept, the one that is written to among them."""
    log_format: Literal["text", "json"] = "text"
    """How the server says what happens to it, on standard error: lines for people, or a JSON object for each."""
    drain_delay_s: float = 0.0
    """How long SIGTERM leaves the door open while the server says that it is not ready, so that proxies see it."""
    drain_timeout_s: float = 20.0
    """How long SIGTERM waits for accepted requests, and how long a version that was replaced goes on with them."""
    max_loaded_models: int | None = None
    """Versions of models in memory at a time; the others are loaded by the requests for them. None: all."""
    idle_unload_s: float | None = None
    """After so long without a request a version goes from memory, until the next one; None: it stays."""
    watch: bool = False
    """Whether models are loaded anew when their files change, and new versions when they come."""
    watch_interval_s: float = 2.0
