"""A file in the text format of Prometheus, for the textfile collector of node_exporter."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

from foretell.errors import InvalidSetting
from foretell.observe.prometheus import escape, head

EVERY_S = 5.0
"""Between two writes, about."""


class MetricsFile:
    """Each write takes the place of the one before in one step. `labels`: of every sample.

    A write that fails is told once, as a warning, and the next one is tried all the same. One thread at a time.
    """

    def __init__(self, path: Path, labels: Mapping[str, str], whose: str) -> None:
        """`whose` metrics they are ("job"), in what is told. Raises `InvalidSetting` where `path` cannot be written."""
        self._path, self._whose = path, whose
        self._labels = ",".join(f'{label}="{escape(value)}"' for label, value in labels.items())
        self._told = False
        try:
            if path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            self._beside.write_text("")
            self._beside.unlink()
        except OSError as error:
            what, got = "the metrics file cannot be written", error.strerror or error
            fix = "name a file in a folder that is there and may be written to"
            raise InvalidSetting(what, where=str(path), got=got, fix=fix) from None

    def samples(self) -> Samples:
        """None yet."""
        return Samples(self._labels)

    def write(self, samples: Samples) -> None:
        try:
            self._beside.write_text("\n".join(samples.lines) + "\n", "utf-8", "replace")
            os.replace(self._beside, self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._beside.unlink()
            if not self._told:
                why = error.strerror or error
                said = f"{self._path}: the metrics cannot be written: {why}; the {self._whose} goes on"
                warnings.warn(said, stacklevel=2)
            self._told = True

    @property
    def _beside(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{os.getpid()}")


class Samples:
    """The lines of one write."""

    def __init__(self, labels: str) -> None:
        self._labels = labels
        self.lines: list[str] = []

    def add(self, name: str, text: str, kind: str, value: float | Mapping[str, float] | None) -> None:
        """`value`: of the metric; of each of several by the label and value that it has beside those of all
        (`code="model_error"`); None: it is not known, and left out."""
        values = value if isinstance(value, Mapping) else {} if value is None else {"": value}
        if values:
            self.lines.extend(head(name, text, kind))
            for more, each in values.items():
                self.lines.append(f"foretell_{name}{{{self._labels}{more and f',{more}'}}} {each}")


def by(label: str, counts: Mapping[str, float]) -> Mapping[str, float]:
    """The values of one metric that has a `label`, for `Samples.add`."""
    return {f'{label}="{escape(value)}"': count for value, count in counts.items()}


def one_of(label: str, values: tuple[str, ...], now: str) -> Mapping[str, float]:
    """1 for what it is now, 0 for all else that it may be."""
    return by(label, {value: int(value == now) for value in values})
