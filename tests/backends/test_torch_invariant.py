"""Batch-invariant mode of PyTorch, each time in a process that has computed nothing before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_MODEL = """
import numpy as np, torch
from foretell import Predictor
from foretell.errors import Unavailable

torch.manual_seed(0)
rows = np.random.default_rng(0).normal(size=(90, 301)).astype(np.float32)
net = torch.nn.Sequential(torch.nn.Linear(301, 77), torch.nn.Tanh(), torch.nn.Linear(77, 7), torch.nn.Softmax(-1))
"""
_SAME = """
with Predictor(net, batch_invariant=True) as predictor:
    whole = predictor.predict_batch(rows, batch_size=64)
    random = np.random.default_rng(1)
    for size in (1, 2, 7, 16, 17, 31, 64, 90):
        order = random.permutation(len(rows))
        for at in range(0, len(rows), size):
            part = order[at : at + size]
            assert predictor.predict(rows[part]).tobytes() == whole[part].tobytes(), size
"""
_LATE = """
if torch.backends.mkl.is_available():
    net(torch.tensor(rows))
    try:
        Predictor(net, batch_invariant=True)
    except Unavailable as error:
        assert "MKL_CBWR=AUTO" in str(error)
    else:
        raise AssertionError
"""


def run(script: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", _MODEL + script], check=True, cwd=folder, timeout=100)


def test_a_row_has_the_same_bits_at_every_place_of_every_batch(tmp_path: Path) -> None:
    run(_SAME, tmp_path)


def test_it_cannot_be_chosen_too_late(tmp_path: Path) -> None:
    run(_LATE, tmp_path)
