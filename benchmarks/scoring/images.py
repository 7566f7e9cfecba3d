"""Photographs: decode, resize, MobileNetV2; ours beside the straight scripts and beside Ray Data."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.online.models import mobilenet
from benchmarks.run import Run
from benchmarks.scoring.check import files
from benchmarks.scoring.contest import Contestant, Task, contest, out_of
from benchmarks.scoring.ours import OURS, needs_score, score
from benchmarks.scoring.pictures import HEIGHT, WIDTH, jpegs
from benchmarks.scoring.ray_data import RAY, with_ray

COUNT, QUICK_COUNT = 3000, 600
RAY_TUNED = f"{RAY}, decoding as the fast script"
FAST, PILLOW, TWO = "script, simplejpeg", "script, Pillow", "script, 2 processes"
_SCRIPT = Path(__file__).parent / "peers" / "images_script.py"
_NORMAL = ("--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
_FLAGS = ("--top", "1", "--resize", "stretch", *_NORMAL)


def main(run: Run) -> None:
    count = QUICK_COUNT if run.quick else COUNT
    run.report.title(
        "scoring.images", f"{count:,} JPEG of {WIDTH} x {HEIGHT} through MobileNetV2 float32, random weights"
    )
    model, folder, out = mobilenet(run.folder), jpegs(run.folder / "pictures", count), out_of(run)
    script: list[str | Path] = [sys.executable, _SCRIPT, model, folder, out]
    every = [
        Contestant(FAST, script),
        Contestant(PILLOW, [*script, "--decoder", "pillow"]),
        Contestant(TWO, [*script, "--processes", "2", "--threads", "1"]),
    ]
    with run.unless_unavailable(OURS):
        needs_score("images")
        every.insert(0, Contestant(OURS, score(model, folder, out, *_FLAGS)))
    every += with_ray(run, "images_ray.py", "images", model, folder, out)
    every += with_ray(run, "images_ray.py", "bytes", model, folder, out, name=RAY_TUNED)

    def check(written: Path) -> None:
        rows = sum(pq.ParquetFile(part).metadata.num_rows for part in files(written))
        if rows != count:
            raise RuntimeError(f"{rows} of {count} pictures have an answer")

    # 200 images a second were asked for where the script gives 205.
    contest(run, Task(f"{count:,} pictures", count, "images", check, {FAST: 200 / 205, RAY: 2.4}), every)
