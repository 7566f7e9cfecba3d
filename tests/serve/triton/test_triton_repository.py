"""Triton's client manages models: the index, loading, replacing and unloading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from repositories import Manage, put, times
from triton_calls import client, given
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of gevent, which the client brings


def test_a_model_is_loaded_replaced_and_unloaded(manage: Manage, tmp_path: Path) -> None:
    put(tmp_path / "other/1/model.onnx", times(9))
    server = manage(tmp_path)
    put(tmp_path / "m/1/model.onnx", times(2))
    one = np.ones((1, 1), np.float32)
    with client(server) as triton:
        assert "model_repository" in triton.get_server_metadata()["extensions"]
        other = {"name": "other", "version": "1", "state": "READY"}
        assert triton.get_model_repository_index() == [{"name": "m"}, other]
        assert not triton.is_model_ready("m")

        triton.load_model("m")
        assert triton.is_model_ready("m", "1")
        assert triton.infer("m", [given("x", one)]).as_numpy("y") == 2
        assert triton.get_model_repository_index() == [{"name": "m", "version": "1", "state": "READY"}, other]

        put(tmp_path / "m/1/model.onnx", times(3))
        triton.load_model("m")
        assert triton.infer("m", [given("x", one)]).as_numpy("y") == 3

        triton.unload_model("m")
        assert not triton.is_model_ready("m")
        assert triton.get_model_repository_index()[0]["reason"] == "unloaded"
        with pytest.raises(InferenceServerException, match="unknown model"):
            triton.infer("m", [given("x", one)])


def test_a_load_that_fails_says_so(manage: Manage, tmp_path: Path) -> None:
    put(tmp_path / "m/1/model.onnx", times(2))
    server = manage(tmp_path)
    put(tmp_path / "m/1/model.onnx", b"junk")
    with client(server) as triton:
        with pytest.raises(InferenceServerException, match="failed to load 'm', version 1: not an ONNX file"):
            triton.load_model("m")
        with pytest.raises(InferenceServerException, match="config cannot be sent"):
            triton.load_model("m", config="{}")
        assert triton.is_model_ready("m")
        assert "not an ONNX file" in triton.get_model_repository_index()[0]["reason"]
