"""Ray Data in an environment of its own, bound to loopback, with a folder of its own for its state."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from benchmarks.online.peers.environment import python_of
from benchmarks.process import Unavailable
from benchmarks.run import Run
from benchmarks.scoring.contest import Contestant

RAY = "Ray Data"
_REQUIREMENTS = ("ray[data]==2.60.0", "simplejpeg", "opencv-python-headless", "pillow")
_ENVIRON = {"PYTHONPATH": None, "RAY_USAGE_STATS_ENABLED": "0"}


def with_ray(run: Run, script: str, *arguments: str | Path, name: str = RAY) -> list[Contestant]:
    """Ray Data with a script of ours, which gets a folder for what Ray keeps as its last argument.

    None without peers, in a quick run (it takes half a minute each time), and, with a note, where Ray cannot be had.
    """
    if run.quick or not run.peers:
        return []
    try:
        python = python_of("ray", (*_REQUIREMENTS, f"pyarrow=={version('pyarrow')}"))
    except Unavailable as reason:
        run.report.note(f"skipped {RAY}: {reason}")
        return []
    command = [python, Path(__file__).parent / "peers" / script, *arguments, run.folder / "ray"]
    return [Contestant(name, command, python, _ENVIRON)]
