"""Objects and classes as models, what they declare, and what their failures become."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from live_models import ROWS, TEXTS, answer, lists, loaded

from foretell.backends import open_model
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidModel, ModelError, TransientError, Unavailable
from foretell.model import Context
from foretell.types import DataType, TensorSpec


class Pipeline:
    def __init__(self) -> None:
        self.events: list[str] = []

    def load(self, device: str) -> None:
        self.events.append(f"load {device}")

    def preprocess(self, texts: list[str]) -> Any:
        return [len(text) for text in texts]

    def predict(self, lengths: Any) -> Any:
        return {"half": lengths / 2, "twice": lengths * 2}

    def postprocess(self, half: Any, twice: Any) -> Any:
        return {"total": half + twice}

    def close(self) -> None:
        self.events.append("close")


def test_an_object_with_stages_runs_them_in_order() -> None:
    pipeline = Pipeline()
    model = loaded(pipeline, device="cuda:1")
    ctx = Context()
    done = model.postprocess(model.predict(model.preprocess(TEXTS, ctx), ctx), ctx)
    model.close()
    assert lists(done) == {"total": [2.5, 5.0, 7.5]}
    assert model.spec.inputs == (TensorSpec("texts", DataType.BYTES, ()),)
    assert model.spec.outputs == (TensorSpec("total", DataType.FP64, ()),)
    assert pipeline.events == ["load cuda:1", "close"]


@pytest.mark.parametrize("where", ["__init__", "load", "close"])
def test_a_class_that_exits_ends_with_an_error_and_not_the_process(where: str) -> None:
    def leave(self: Any) -> None:
        raise SystemExit(0)

    model = open_model(type("Leaves", (), {"predict": lambda self, x: x, where: leave}), ModelSettings()).model
    with pytest.raises(ModelError, match=r"Leaves.*: SystemExit: 0"):
        model.load("cpu")
        model.close()


def test_a_class_is_instantiated_by_load_and_not_before() -> None:
    made: list[str] = []

    class Late:
        def __init__(self) -> None:
            made.append("made")

        def __call__(self, x: Any) -> Any:
            return x

    opened = open_model(Late, ModelSettings())
    assert made == [] and opened.name == "Late"
    opened.model.load("cpu")
    assert made == ["made"]
    assert lists(answer(opened.model)) == {"output": [[0, 1], [2, 3], [4, 5]]}


def test_attributes_declare_the_rest_of_the_spec() -> None:
    class Declared:
        row_wise = False
        deterministic = False
        labels = ("cat", "dog")

        def predict(self, x: Any) -> Any:
            return {"name": ["cat"] * len(x), "scores": np.zeros((len(x), 2))}

    model = loaded(Declared)
    assert not model.spec.row_wise and not model.spec.deterministic and not model.spec.concurrent
    answer(model)
    assert model.spec.labels == {"scores": ("cat", "dog")}


@pytest.mark.parametrize(
    ("name", "value"), [("row_wise", 1), ("outputs", ["y"]), ("spec", {}), ("transient", "no"), ("labels", 3)]
)
def test_a_wrong_attribute_is_named(name: str, value: object) -> None:
    kind = type("Wrong", (), {name: value, "predict": lambda self, x: x})
    with pytest.raises(InvalidModel, match=f"attribute '{name}' is wrong"):
        loaded(kind)


def test_what_user_code_raises_keeps_its_cause_and_shows_no_traceback() -> None:
    def broken(x: Any) -> Any:
        raise KeyError("weights")

    with pytest.raises(ModelError) as caught:
        answer(broken)
    assert str(caught.value) == "broken: KeyError: 'weights'"
    assert isinstance(caught.value.__cause__, KeyError)


def test_transient_failures_are_told_apart() -> None:
    class Remote:
        transient = (ConnectionError,)

        def predict(self, x: Any) -> Any:
            raise ConnectionResetError("gone") if x[0, 0] == 0 else ValueError("wrong")

    model = loaded(Remote)
    assert model.transient == (ConnectionError,)
    with pytest.raises(TransientError, match="gone"):
        answer(model)
    with pytest.raises(ModelError, match="wrong") as caught:
        answer(model, ROWS.slice(1, 2))
    assert not isinstance(caught.value, TransientError)


def test_errors_of_foretell_pass_as_they_are() -> None:
    mine = TransientError("again")

    def raising(x: Any) -> Any:
        raise mine

    with pytest.raises(TransientError) as caught:
        answer(raising)
    assert caught.value is mine


def test_a_device_needs_a_load_that_takes_it() -> None:
    class Plain:
        def load(self) -> None: ...

        def predict(self, x: Any) -> Any:
            return x

    for source in (Plain, lambda x: x):
        with pytest.raises(Unavailable, match="expected cpu, got cuda"):
            loaded(source, device="cuda")


@pytest.mark.parametrize("settings", [{"precision": "fp16"}, {"optimizations": ("fuse",)}, {"threads": 2}], ids=repr)
def test_settings_that_mean_nothing_here_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InferenceError, match="a Python model"):
        loaded(lambda x: x, **settings)


def test_no_optimisations_and_padding_are_fine() -> None:
    model = loaded(lambda x: x, optimizations=(), pad={"x": 0.0})
    assert model.spec.pad == {"x": 0.0}
    with pytest.raises(InferenceError, match="pad names the input 'y'"):
        loaded(lambda x: x, pad={"y": 0.0})


def test_a_class_says_what_fills_its_rows_up() -> None:
    model = loaded(type("Sums", (), {"pad": {"x": 0}, "predict": lambda self, x: x.sum(axis=1)}))
    assert model.spec.pad == {"x": 0.0}
    for wrong in (0, {"x": "zero"}):
        with pytest.raises(InferenceError, match="expected a dict with a number for each input"):
            loaded(type("Wrong", (), {"pad": wrong, "predict": lambda self, x: x}))


@pytest.mark.parametrize("name", ["load", "preprocess", "predict", "postprocess", "close"])
def test_what_has_to_be_awaited_is_refused_and_ended(name: str) -> None:
    async def later(self: Any, x: Any = None) -> Any:
        return x

    members = {"predict": lambda self, x: x, name: later}
    model = open_model(type("Later", (), members), ModelSettings()).model
    with pytest.raises(ModelError, match=rf"^Later\.{name}: it has to be awaited; .* write def in place of async def"):
        model.load("cpu")
        batch = Batch.of(x=np.ones((2, 2)))
        for stage in (model.preprocess, model.predict, model.postprocess):
            batch = stage(batch, Context())
        model.close()


def test_a_parameter_with_a_default_is_no_input() -> None:
    class Scaled:
        def predict(self, x: Any, scale: float = 3.0, *, shift: float = 1.0) -> Any:
            return x * scale + shift

    model = open_model(Scaled(), ModelSettings()).model
    model.load("cpu")
    assert [spec.name for spec in model.spec.inputs or ()] == ["x"]
    assert model.predict(Batch.of(x=np.ones(2)), Context()).dense("output").tolist() == [4.0, 4.0]
