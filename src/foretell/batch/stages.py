"""What the processes of a job spend their time with, in the order in which a row passes through it."""

from __future__ import annotations

from typing import Literal

Stage = Literal["read", "decode", "preprocess", "predict", "write"]
STAGES: tuple[Stage, Stage, Stage, Stage, Stage] = ("read", "decode", "preprocess", "predict", "write")
"""decode: of files such as images. preprocess: of the model, on the processor. predict: all else of the model."""

ALWAYS = ("read", "predict", "write", "idle")
"""Shown also where nothing went into them."""

OF_ROWS = {"decode": "decoded", "preprocess": "preprocessed", "predict": "computed"}
"""Stages whose rows may be what ends a process, and what it did to them."""
