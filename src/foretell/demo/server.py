"""`foretell serve` as a process of its own, which ends with the block that uses it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread, Timer

from foretell.errors import ModelError

_SERVING = re.compile(r"serving on http://(?P<host>\S+):(?P<port>\d+)")
_START_S = 60.0
_STOP_S = 10.0
_START = (
    "import sys; from foretell.workers.parent import end_with_parent; end_with_parent(); "
    "from foretell.cli import main; sys.exit(main())"
)


@contextmanager
def serving(sources: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Serves `sources` on a free port of this machine; gives host and port once it answers.

    Raises `ModelError` with the server's last words where it does not come up. However the block ends, the process
    has ended after it; on Linux also where this process, or the thread that is in the block, is killed.
    """
    command = [sys.executable, "-c", _START, "serve", *sources, "--host", "127.0.0.1", "--http-port", "0"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    # A server that warns often must not fill the pipe and stop.
    drain = Thread(target=deque, args=(process.stderr, 0), daemon=True)
    with process:  # closes its standard error at the end
        try:
            address = _address(process)
            drain.start()
            yield address
        finally:
            _stop(process)
            if drain.ident is not None:
                drain.join(_STOP_S)


def _address(process: subprocess.Popen[bytes]) -> tuple[str, int]:
    last = "nothing"
    limit = Timer(_START_S, process.kill)
    limit.start()
    try:
        for line in process.stderr or ():
            last = line.decode("utf-8", "replace").strip()
            found = _SERVING.search(last)
            if found is not None:
                return found["host"], int(found["port"])
    finally:
        limit.cancel()
    raise ModelError(f"the server did not start; its last words: {last}", where="foretell serve")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Asks it to end; an impatient second Ctrl-C, or no answer, ends it at once."""
    try:
        process.terminate()
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()
