"""The program of a process that scores: `python -m foretell.batch.child SOCKET LIFELINE BOARD [MODULE...]`.

`SOCKET`: the number of an inherited socket, over which the recipe of the model comes, then tasks. `LIFELINE`: of the
reading end of a pipe that the parent holds open as long as it lives. `BOARD`: of the memory of `batch.board`.
`MODULE`: what it will need in all likelihood, imported while the parent still finds out what the job is.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import socket
import sys
import threading

from foretell.remote.child import connected
from foretell.remote.recipe import Recipe, read_recipe


def main(arguments: list[str]) -> None:
    connection = connected(int(arguments[0]), int(arguments[1]))
    _import(arguments[3:])
    recipe = read_recipe(connection)
    sys.path[:] = recipe.search  # modules are looked for where the parent does, in the same order
    work(recipe, connection, int(arguments[2]))


def _import(modules: list[str]) -> None:
    gc.disable()  # what is imported stays: there is nothing to collect
    for module in ("foretell.batch.tasks", *modules):
        with contextlib.suppress(Exception):  # who needs it tells what is wrong with it
            importlib.import_module(module)
    gc.freeze()
    gc.enable()


def work(recipe: Recipe, connection: socket.socket, board: int) -> None:
    """Answers tasks until the other side closes."""
    from foretell.batch.board import Board
    from foretell.batch.messages import Event, Load, tasks
    from foretell.batch.tasks import Tasks
    from foretell.errors import ReplicaLost
    from foretell.remote.channel import Channel, ChannelClosed
    from foretell.remote.loading import Loaded, load

    channel = Channel(connection)
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock, contextlib.suppress(ChannelClosed):
            channel.send(event)

    def loading(task: Load) -> Loaded:
        return load(recipe, retries=task.retries, device=task.device)

    doing = Tasks(loading, Board(board), tell, apart=True)
    try:
        while True:
            message = channel.receive()
            if message is None:
                continue
            doing.do(tasks.decode(message))
    except ChannelClosed:
        doing.close()
    except ReplicaLost as error:  # such as of a GPU: the job looks at the board, and starts another process
        sys.stderr.write(f"foretell: a process of the job ends: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)  # taking all modules apart takes as long as a small shard, and the parent waits for the end


if __name__ == "__main__":
    main(sys.argv[1:])
