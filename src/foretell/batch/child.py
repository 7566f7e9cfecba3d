"""The program of a process that scores: `python -m foretell.batch.child SOCKET LIFELINE BOARD`.

`SOCKET`: the number of an inherited socket, over which the recipe of the model comes, then tasks. `LIFELINE`: of the
reading end of a pipe that the parent holds open as long as it lives. `BOARD`: of the memory of `batch.board`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import socket
import sys
from typing import TYPE_CHECKING

from foretell.remote.child import end_with_parent, leave_the_end_to_parent
from foretell.remote.recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from foretell.batch.messages import Load
    from foretell.batch.tasks import Loading
    from foretell.engine.engine import Engine


def main(arguments: list[str]) -> None:
    leave_the_end_to_parent()
    end_with_parent(int(arguments[1]))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    connection = socket.socket(fileno=int(arguments[0]))
    recipe = read_recipe(connection)
    sys.path[:] = recipe.search  # modules are looked for where the parent does, in the same order
    work(recipe, connection, int(arguments[2]))


def work(recipe: Recipe, connection: socket.socket, board: int) -> None:
    """Answers tasks until the other side closes."""
    from foretell.batch.board import Board
    from foretell.batch.messages import tasks
    from foretell.batch.tasks import Tasks
    from foretell.remote.channel import Channel, ChannelClosed

    os.chdir(recipe.folder)
    channel = Channel(connection)
    doing = Tasks(_loading(recipe), Board(board))
    with contextlib.suppress(ChannelClosed):
        while True:
            message = channel.receive()
            if message is None:
                continue
            answer = doing.do(tasks.decode(message))
            if answer is not None:
                channel.send(answer)
    doing.close()


def _loading(recipe: Recipe) -> Loading:
    from foretell.backends import open_model
    from foretell.engine.engine import Engine

    def load(task: Load) -> tuple[Engine, str]:
        settings = dataclasses.replace(recipe.model_settings(), device=task.device)
        opened = open_model(recipe.opened(), settings)
        engine = Engine(opened.model, settings, name=recipe.name, version=task.version, digest=opened.digest).load()
        return engine, opened.framework

    return load


if __name__ == "__main__":
    main(sys.argv[1:])
