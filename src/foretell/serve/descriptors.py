"""Open files: each client is one, and the system gives a process few of them unless it asks for more."""

from __future__ import annotations

import contextlib
import os

_OTHERS = 64
"""For what is still to come beside clients: models that are loaded again, their processes, logs."""
_OPEN = "/dev/fd"


def room_for(clients: int) -> int:
    """Asks the system for as many open files as `clients` need, and returns for how many of them there is room.

    Beyond it the system would close connections that nobody has answered, nor counted.
    """
    if os.name != "posix":
        return clients
    import resource

    others = len(os.listdir(_OPEN)) + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + others
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):  # more than the system gives to any process
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return clients if soft == resource.RLIM_INFINITY else max(1, min(clients, soft - others))
