"""Which place decides a model's setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.errors import InvalidSetting
from foretell.repository.settings import model_layers, model_settings


def test_the_order_is_flag_environment_model_toml_project_default(tmp_path: Path) -> None:
    near, far = tmp_path / "m/1", tmp_path / "m"
    near.mkdir(parents=True)
    (near / "model.toml").write_text("retries = 3")
    (far / "model.toml").write_text("retries = 30\ncache_size = 4\nthreads = 40\nmax_queue_size = 400")
    (tmp_path / "foretell.toml").write_text("[model]\ncache_size = 50\nwarm_up = false")
    resolved = model_settings(
        {"max_queue_size": 1}, {"FORETELL_THREADS": "2", "PATH": "/bin"}, model_layers([near, far]), tmp_path
    )
    settings, origins = resolved.settings, resolved.origins
    assert (settings.max_queue_size, origins["max_queue_size"]) == (1, "--max-queue-size")
    assert (settings.threads, origins["threads"]) == (2, "FORETELL_THREADS")
    assert (settings.retries, origins["retries"]) == (3, str(near / "model.toml"))
    assert (settings.cache_size, origins["cache_size"]) == (4, str(far / "model.toml"))
    assert (settings.warm_up, origins["warm_up"]) == (False, f"{tmp_path / 'foretell.toml'} [model]")
    assert (settings.device, origins["device"]) == ("cpu", "default")


def test_an_error_names_the_flag(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"^--max-batch-size: max_batch_size is out of range"):
        model_settings({"max_batch_size": 0}, {}, [], tmp_path)


@pytest.mark.parametrize("text", ["threads =", "threads = 'many'", "threads = -1", "\udcff"])
def test_a_bad_model_toml_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidSetting, match=str(tmp_path / "model.toml")):
        model_layers([tmp_path])
