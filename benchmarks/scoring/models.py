"""The model of trees that rows are scored with; the small network stands in `benchmarks.models`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from benchmarks.scoring.data import WIDTH

_TREES, _DEPTH = 100, 6
_ROWS = 10_000


def trees(folder: Path) -> Path:
    """100 boosted trees of depth 6: `input` FP32 [N, 20] -> `label` INT64 [N], `probabilities` FP32 [N, 2]."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import GradientBoostingClassifier

    rng = np.random.default_rng(1)
    rows = rng.standard_normal((_ROWS, WIDTH), np.float32)
    truth = rows[:, 0] * rows[:, 1] + np.sin(3 * rows[:, 2]) + np.abs(rows[:, 3:]).sum(axis=1) - 13.5
    wanted = truth + rng.normal(size=_ROWS) > 0
    estimator = GradientBoostingClassifier(n_estimators=_TREES, max_depth=_DEPTH, max_features=4, random_state=0)
    estimator.fit(rows, wanted.astype(np.int64))
    model = convert_sklearn(
        estimator, "trees", [("input", FloatTensorType([None, WIDTH]))], options={"zipmap": False}, target_opset=17
    )
    path = folder / "trees.onnx"
    onnx.save(model, path)
    return path
