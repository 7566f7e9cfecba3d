"""The straight script for photographs: decode, resize, normalise, MobileNetV2; the class of each into a Parquet file.

python images_script.py MODEL FOLDER OUT [--decoder fast|pillow] [--processes 1] [--threads 2]

fast: simplejpeg, which leaves out pixels that a smaller picture does not need, and OpenCV.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

_SIDE, _BATCH = 224, 8
_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_SCALE = 1 / (np.array([0.229, 0.224, 0.225], np.float32) * 255)


def main() -> None:
    given = _parse()
    given.out.mkdir(exist_ok=True)
    others = [
        subprocess.Popen([sys.executable, *sys.argv, "--part", str(part)])
        for part in range(1, given.processes)
        if given.part is None
    ]
    _score(given, given.part or 0)
    statuses = [other.wait() for other in others]
    if any(statuses):
        sys.exit("a process failed")


def _score(given: argparse.Namespace, part: int) -> None:
    import onnxruntime
    import pyarrow as pa
    import pyarrow.parquet as pq

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given.threads
    session = onnxruntime.InferenceSession(str(given.model), options)
    decode = {"fast": fast, "pillow": pillow}[given.decoder]
    paths = sorted(given.folder.iterdir())
    paths = paths[len(paths) * part // given.processes : len(paths) * (part + 1) // given.processes]
    pixels = np.empty((given.batch, 3, _SIDE, _SIDE), np.float32)
    labels: list[int] = []
    scores: list[float] = []
    for start in range(0, len(paths), given.batch):
        batch = paths[start : start + given.batch]
        for at, path in enumerate(batch):
            normalise(decode(path.read_bytes()), pixels[at])
        logits = session.run(None, {"input": pixels[: len(batch)]})[0]
        labels += logits.argmax(axis=1).tolist()
        scores += logits.max(axis=1).tolist()
    columns = {"file": [path.name for path in paths], "label": labels, "score": scores}
    path = given.out / f"part-{part}.parquet"
    unfinished = path.with_suffix(".unfinished")
    pq.write_table(pa.table(columns), unfinished)
    os.replace(unfinished, path)


def fast(data: bytes) -> np.ndarray:
    import cv2
    import simplejpeg

    pixels = simplejpeg.decode_jpeg(data, min_height=_SIDE, min_width=_SIDE, fastdct=True, fastupsample=True)
    return np.asarray(cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))


def pillow(data: bytes) -> np.ndarray:
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (_SIDE, _SIDE))
    return np.asarray(image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))


def normalise(pixels: np.ndarray, into: np.ndarray) -> None:
    """Channel by channel and in place: a fifth of the time of one expression over all."""
    for channel in range(3):
        np.subtract(pixels[:, :, channel], _MEAN[channel], out=into[channel])
        into[channel] *= _SCALE[channel]


def _parse() -> Any:
    parser = argparse.ArgumentParser()
    for name in ("model", "folder", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--decoder", choices=["fast", "pillow"], default="fast")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=_BATCH)
    parser.add_argument("--part", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
