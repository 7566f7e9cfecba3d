"""What `foretell demo` trains takes no cores from others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from foretell.demo import digits


class BegunError(Exception):
    pass


def test_the_network_is_trained_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of OpenBLAS take five times as long for matrices this small where the cores are not idle."""
    seen: list[int] = []

    def fit(*given: Any) -> None:
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        raise BegunError

    monkeypatch.setattr(MLPClassifier, "fit", fit)
    with threadpool_limits(2), pytest.raises(BegunError):
        digits._trained(np.zeros((10, 8, 8), np.uint8), np.arange(10))
    assert set(seen) == {1}
