"""How benchmarks print: what was measured, the limit beside it, the ratio, and what was wanted."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence


def title(text: str) -> None:
    print(f"== {text}   ({os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()})")


def line(name: str, value: float, unit: str, *, beside: str = "", ratio: float | None = None, wanted: str = "") -> None:
    shown = f"{value:12,.3f}" if value < 100 else f"{value:12,.0f}"
    text = f"{name:<46}{shown} {unit:<11}"
    if beside:
        text += f" | {beside}"
    if ratio is not None:
        text += f" | ratio {ratio:.2f}"
    if wanted:
        text += f" | wanted {wanted}"
    print(text, flush=True)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
