"""Sources whose rows are files: how tests make the files, and what they read of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from foretell.batch.inputs import find_inputs
from foretell.batch.job import Data
from foretell.batch.shards import ShardSize
from foretell.batch.sources.registry import open_source
from foretell.batch.sources.source import Source
from foretell.errors import RowError
from foretell.types import DataType, ModelSpec, TensorSpec


@cache
def photograph(number: int = 0, size: tuple[int, int] = (500, 375)) -> Image.Image:
    """One of the two that scikit-learn brings."""
    from sklearn.datasets import load_sample_images

    return Image.fromarray(load_sample_images().images[number]).resize(size, Image.Resampling.LANCZOS)


def encoded(image: Image.Image | np.ndarray, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def takes(*shape: int | None, datatype: DataType | None = DataType.FP32, rows: Any = "any") -> ModelSpec:
    """A model with the one input `x`."""
    return ModelSpec(inputs=(TensorSpec("x", datatype, shape),), batch=rows)


TEXTS = takes(datatype=DataType.BYTES)


@dataclass
class Rows:
    """What a source gave: by row number, the name of its file, and its cell or why there is none."""

    names: list[str] = field(default_factory=list)
    cells: list[Any] = field(default_factory=list)
    bad: dict[int, RowError] = field(default_factory=dict)
    blocks: list[int] = field(default_factory=list)
    firsts: list[tuple[int, int]] = field(default_factory=list)


def opened(data: Path | str, spec: ModelSpec, fmt: str | None = None, **options: Any) -> Source:
    kind, files = find_inputs(data, fmt)
    source = open_source(Data(kind, tuple(files), options))
    source.suit(spec, {"x": (source.content,)})
    return source


def read(source: Source, rows: int = 1000, shards: Sequence[int] | None = None) -> Rows:
    """The rows of all shards, or of some in this order."""
    made, planned = Rows(), source.shards(ShardSize())
    for number in range(len(planned)) if shards is None else shards:
        for block in source.read(planned[number], ("file", source.content), rows):
            made.bad |= {len(made.cells) + row: why for row, why in block.bad.items()}
            made.names += list(block.columns.get("file", [""] * block.rows))
            made.cells += list(block.columns[source.content])
            made.blocks.append(block.rows)
            made.firsts.append((block.file, block.first_row))
    return made


def read_all(data: Path | str, spec: ModelSpec, fmt: str | None = None, **options: Any) -> Rows:
    source = opened(data, spec, fmt, **options)
    try:
        return read(source)
    finally:
        source.close()
