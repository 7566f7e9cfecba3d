"""The program of the process that has a driver: `python -m foretell.batch.sql.child SOCKET LIFELINE`.

`SOCKET`: the number of an inherited socket, over which one task comes, passwords included: they stand in no list of
processes. `LIFELINE`: of the reading end of a pipe that the parent holds open as long as it lives.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from importlib.abc import MetaPathFinder

from foretell.batch.sql.address import parse
from foretell.batch.sql.messages import Done, Failed, LookUp, Publish, ReadQuery, Reply, Task, tasks
from foretell.errors import InferenceError, ModelError
from foretell.remote.channel import Channel, ChannelClosed
from foretell.remote.child import connected
from foretell.remote.faults import fault_note


def main(arguments: list[str]) -> None:
    channel = Channel(connected(int(arguments[0]), int(arguments[1])))
    message = channel.receive()
    if message is None:
        return
    task = tasks.decode(message)
    os.chdir(task.place.folder)
    sys.path[:] = task.place.search
    with contextlib.suppress(ChannelClosed):
        channel.send(_answered(task, channel))


def _answered(task: Task, channel: Channel) -> Reply:
    try:
        return _done(task, channel)
    except InferenceError as error:
        return Failed(fault_note(error))
    except ChannelClosed:
        raise
    except Exception as error:
        traceback.print_exception(error)
        return Failed(fault_note(ModelError(f"{type(error).__name__}: {error}", where="work with the database")))


class _NoFrames(MetaPathFinder):
    """Finds neither pandas nor Polars. The driver of PostgreSQL imports both where they are installed, which takes
    longer than all else here, and uses neither. Only times in nanoseconds, in lists that become JSON, need pandas."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname in ("pandas", "polars"):
            raise ModuleNotFoundError(name=fullname)


def _done(task: Task, channel: Channel) -> Reply:
    if parse(task.address, task.place.folder).kind == "postgresql" and not _needs_pandas(task):
        sys.meta_path.insert(0, _NoFrames())
    if isinstance(task, ReadQuery):
        from foretell.batch.sql.spooling import spool

        spool(task, channel.send)
        return Done()
    from foretell.batch.sql.publishing import look_up, publish

    if isinstance(task, LookUp):
        return look_up(task)
    publish(task)
    return Done()


def _needs_pandas(task: Task) -> bool:
    if not isinstance(task, Publish):
        return False
    from foretell.batch.sql.publishing import schema_of

    return any("[ns]" in str(kind) for kind in schema_of(task).types)


if __name__ == "__main__":
    main(sys.argv[1:])
