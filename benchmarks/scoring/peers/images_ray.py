"""Photographs in Ray Data. Run by the Python of Ray's environment: images_ray.py HOW MODEL FOLDER OUT TEMPORARY.

HOW: "images": `read_images` decodes and resizes, as Ray's guide to images has it; "bytes": files are read as they are,
and the actors decode them as the fast script does.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime
import ray
from images_script import fast, normalise  # type: ignore[import-not-found]

_BATCH = 32


class Classifier:
    def __init__(self, model: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        images = batch["image"] if "image" in batch else map(fast, batch["bytes"])
        pixels = np.empty((len(batch["path"]), 3, 224, 224), np.float32)
        for at, image in enumerate(images):
            normalise(image, pixels[at])
        logits = self._session.run(None, {"input": pixels})[0]
        names = [path.rpartition("/")[2] for path in batch["path"]]
        return {"file": np.array(names), "label": logits.argmax(axis=1), "score": logits.max(axis=1)}


def main(how: str, model: str, folder: str, out: str, temporary: str) -> None:
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
        _node_ip_address="127.0.0.1", _temp_dir=temporary,
    )  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    if how == "images":
        pictures = ray.data.read_images(folder, size=(224, 224), mode="RGB", include_paths=True)
    else:
        pictures = ray.data.read_binary_files(folder, include_paths=True, override_num_blocks=40)
    scored = pictures.map_batches(
        Classifier, fn_constructor_args=(model,), batch_size=_BATCH, num_cpus=0.5,
        compute=ray.data.ActorPoolStrategy(size=2),
    )  # fmt: skip
    scored.write_parquet(out)
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
