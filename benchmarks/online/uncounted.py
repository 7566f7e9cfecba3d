"""foretell without its statistics, to see what they cost: the same command, and nothing is put down of a batch."""

from foretell.cli import entry
from foretell.engine.recorder import NoRecorder
from foretell.observe.stats import Stats

if __name__ == "__main__":
    Stats.completed = NoRecorder.completed  # type: ignore[assignment, method-assign]
    entry()
