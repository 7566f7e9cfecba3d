"""For tests of your own: a server in this process, without sockets, that answers as `foretell serve` does.

Requests pass the same parser, routes, limits, batcher, cache and executors, and come back as the same bytes.
"""

from foretell.testing.client import AsyncClient, Client, Response

__all__ = ["AsyncClient", "Client", "Response"]
