"""PyTorch models: what they are called with, in which numbers, on how many threads."""

from __future__ import annotations

import os
import shutil
import sysconfig
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foretell import Predictor
from foretell.backends.torch.device import bring
from foretell.errors import InvalidInput, InvalidModel, ModelError, Unavailable
from foretell.types import DataType


class Net(torch.nn.Module):
    labels = ("left", "middle", "right")

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
        self.quiet = torch.nn.Dropout(0.9)

    def forward(self, x: torch.Tensor, scale: float = 2.0) -> dict[str, Any]:
        return {"scores": self.quiet(self.layer(x)) * scale, "threads": torch.full((len(x),), torch.get_num_threads())}


class Several(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x.sum(1), [x.to(torch.bfloat16), (x > 0)]


def rows(count: int = 3) -> np.ndarray:
    return np.linspace(-1, 1, count * 4, dtype=np.float32).reshape(count, 4)


def test_a_live_module_in_training_is_put_to_work() -> None:
    module = Net().train()
    with Predictor(module) as predictor:
        answer = predictor.predict(rows())
    np.testing.assert_allclose(answer["scores"], (module.layer(torch.tensor(rows())) * 2).detach(), rtol=1e-6)


def test_a_live_module_whose_training_goes_on_answers_as_in_evaluation_and_stays_in_training() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(), Net())
    with Predictor(module) as predictor:
        expected = predictor.predict(rows())["scores"]
        module.train()
        module[3].eval()
        for _ in range(2):
            np.testing.assert_array_equal(predictor.predict(rows())["scores"], expected)
        assert [part.training for part in module] == [True, True, True, False]


def test_class_names_find_the_output_that_has_them() -> None:
    with Predictor(Net()) as predictor:
        predictor.predict(rows())
        assert predictor.spec.labels == {"scores": ("left", "middle", "right")}
    with Predictor(Net(), example=rows()) as predictor:
        assert predictor.spec.labels == {"scores": ("left", "middle", "right")}


def test_numbers_of_python_become_those_of_the_weights() -> None:
    with Predictor(Net()) as predictor:
        answers = [row["scores"] for row in predictor.predict(rows().tolist())]
        np.testing.assert_allclose(answers, predictor.predict(rows())["scores"], rtol=1e-6)


def test_outputs_inside_each_other_have_names() -> None:
    with Predictor(Several()) as predictor:
        answer = predictor.predict(rows())
    assert list(answer) == ["output_0", "output_1_0", "output_1_1"]
    assert answer["output_1_0"].dtype == np.float32
    assert answer["output_1_1"].dtype == np.bool_


def test_threads_are_those_that_were_asked_for() -> None:
    for threads in (1, 2):
        with Predictor(Net(), threads=threads) as predictor:
            assert set(predictor.predict(rows())["threads"].tolist()) == {threads}


def test_calls_at_the_same_time_of_a_program_have_a_core_each_and_the_same_answers(tmp_path: Path) -> None:
    net, cores = Script().eval(), len(os.sched_getaffinity(0))
    made = torch.export.export(net, (torch.zeros(2, 4),), dynamic_shapes=({0: torch.export.Dim("rows")},))
    torch.export.save(made, tmp_path / "net.pt2")
    for options, at_once in (({}, cores), ({"threads": 1}, cores), ({"threads": cores}, 1)):
        with Predictor(tmp_path / "net.pt2", **options) as predictor:
            assert predictor.engine.model.calls_at_once == at_once
            answer = predictor.predict_batch(rows(400), batch_size=3)
        np.testing.assert_allclose(answer, net(torch.tensor(rows(400))).detach(), rtol=1e-5, atol=1e-6)
    with Predictor(Net()) as predictor:
        assert predictor.engine.model.calls_at_once == 1, "a live module has one call at a time"


def test_an_example_tells_the_inputs() -> None:
    with Predictor(Net(), example=rows()) as predictor:
        (tensor,) = predictor.spec.inputs or ()
        assert (tensor.name, tensor.datatype, tensor.shape) == ("x", DataType.FP32, (4,))
        with pytest.raises(InvalidInput, match="shape"):
            predictor.predict(np.zeros((2, 5), np.float32))


class Script(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(this, x: torch.Tensor) -> torch.Tensor:
        return this.layer(x)


def test_whole_numbers_are_real_ones_where_nobody_knows_and_the_model_wants_them(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Script()).save(str(tmp_path / "net.pt"))
        torch.jit.freeze(torch.jit.script(Script().eval())).save(str(tmp_path / "frozen.pt"))
        torch.jit.script(torch.nn.Embedding(9, 2)).save(str(tmp_path / "words.pt"))
    whole = [[1, 2, 3, 4], [5, 6, 7, 8]]
    for source in (tmp_path / "net.pt", tmp_path / "frozen.pt", Script()):
        with Predictor(source) as predictor:
            np.testing.assert_array_equal(predictor.predict(whole), predictor.predict(np.array(whole, np.float32)))
            np.testing.assert_allclose(predictor.predict([[0.5] * 4]), predictor.predict(np.full((1, 4), 0.5, "f")))
            with pytest.raises(ModelError, match="shapes cannot be multiplied"):
                predictor.predict([[1, 2, 3]])
            with pytest.raises(ModelError, match="one row in a list of its own"):
                predictor.predict([1, 2, 3, 4])
    with Predictor(tmp_path / "words.pt") as words:
        assert np.shape(words.predict(whole)) == (2, 4, 2)
        with pytest.raises(ModelError, match="index out of range"):
            words.predict([[9, 1]])


def test_numbers_of_python_are_of_32_bits_where_no_weights_tell() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layers = torch.nn.Sequential(torch.nn.Linear(4, 3)).eval()
        small = torch.ao.quantization.quantize_dynamic(layers, {torch.nn.Linear}, dtype=torch.qint8)
    with Predictor(small) as predictor:
        np.testing.assert_array_equal(predictor.predict(rows().tolist()), predictor.predict(rows()))


@pytest.mark.parametrize("batch_first", [True, False])
def test_steps_of_a_sequence_are_no_rows_to_merge(batch_first: bool, tmp_path: Path) -> None:
    class Recurrent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = torch.nn.RNN(3, 2, batch_first=batch_first)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.steps(x)[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Recurrent()).save(str(tmp_path / "net.pt"))
        torch.jit.freeze(torch.jit.script(Recurrent().eval())).save(str(tmp_path / "frozen.pt"))
    for source in (tmp_path / "net.pt", tmp_path / "frozen.pt", Recurrent()):
        with Predictor(source) as predictor:
            assert predictor.spec.row_wise is batch_first


def test_a_program_keeps_the_plain_values_that_it_was_exported_with(tmp_path: Path) -> None:
    class Scaled(torch.nn.Module):
        def forward(self, x: torch.Tensor, times: int, *, plus: float = 0.0, flat: bool = False) -> torch.Tensor:
            return x.sum(1) * times + plus if flat else x * times + plus

    def program(**shapes: Any) -> torch.export.ExportedProgram:
        sizes = {"x": {0: torch.export.Dim("rows")}, "times": None, "plus": None, "flat": None}
        return torch.export.export(Scaled(), (torch.ones(2, 4), 3), {"plus": 0.5, "flat": True},
                                   dynamic_shapes={**sizes, **shapes})  # fmt: skip

    torch.export.save(program(), tmp_path / "net.pt2")
    for source in (tmp_path / "net.pt2", program()):
        with Predictor(source) as predictor:
            np.testing.assert_allclose(predictor.predict(rows()), rows().sum(1) * 3 + 0.5, rtol=1e-5)
    with pytest.raises(InvalidModel, match="one number for a whole call; got times"):
        Predictor(program(times=torch.export.Dim.DYNAMIC))


def test_a_module_that_takes_a_dict_says_what_to_do() -> None:
    class Together(torch.nn.Module):
        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return inputs["x"]

    with pytest.raises(InvalidModel, match=r"takes all inputs in one; .* got inputs of mapping; give it a parameter"):
        Predictor(Together())


def test_an_example_may_name_parameters_that_have_a_default() -> None:
    class Tokens(torch.nn.Module):
        def forward(self, ids: torch.Tensor, kinds: Any = None, mask: Any = None) -> torch.Tensor:
            return ids * 2 if mask is None else ids * mask

    ids, mask = np.array([[1, 2]]), np.array([[0, 1]])
    with Predictor(Tokens(), example={"ids": ids, "mask": mask}) as predictor:
        assert predictor.predict({"mask": mask, "ids": ids}).tolist() == [[0, 2]]
    with Predictor(Tokens(), example={"ids": ids}) as predictor:
        assert predictor.predict(ids).tolist() == [[2, 4]]


def test_bf16_where_the_cpu_has_it() -> None:
    if not torch.cpu._is_avx512_bf16_supported():
        with pytest.raises(Unavailable, match="expected fp32"):
            Predictor(Net(), precision="bf16")
        return
    module = Net()
    expected = (module.layer(torch.tensor(rows())) * 2).detach().numpy()
    with Predictor(module, precision="bf16") as predictor:
        answer = predictor.predict(rows())["scores"]
        assert answer.dtype == np.float32
        assert predictor.engine.model.variant()["precision"] == "bf16"
    assert 0 < np.abs(answer - expected).max() < 0.05
    assert module.layer.weight.dtype is torch.float32


def test_a_program_that_asks_for_its_own_numbers_keeps_them(tmp_path: Path) -> None:
    """Half the weights and a constant of the other half: PyTorch refuses to mix them, and so do we, at the start."""

    class Stubborn(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.to(torch.float32))

    made = torch.export.export(Stubborn(), (torch.zeros(2, 4),))
    torch.export.save(made, tmp_path / "net.pt2")
    with pytest.raises(Unavailable, match=r"does not compute in bf16|own code asks"):
        Predictor(tmp_path / "net.pt2", precision="bf16")


COMPILES = shutil.which("g++") is not None and Path(sysconfig.get_path("include"), "Python.h").is_file()


def test_what_a_compiler_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(_call: object, **_: object) -> Callable[..., object]:
        def fail(*_: object) -> object:
            raise RuntimeError("CppCompileError: C++ compile error\n\nx.cpp:51:10: fatal error: Python.h: No such file")

        return fail

    monkeypatch.setattr(torch, "compile", compiled)
    with pytest.raises(Unavailable, match=r"C\+\+ compile error; Python\.h: No such file; install .* Python's headers"):
        Predictor(Net(), compile=True, example=rows())


@pytest.mark.skipif(not COMPILES, reason="torch.compile needs a C++ compiler and Python's headers")
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_answers_the_same() -> None:
    class Plain(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x * 2).sum(1)

    with Predictor(Plain(), compile=True, example=rows()) as predictor:
        assert predictor.engine.model.variant()["compiled"] == "yes"
        np.testing.assert_allclose(predictor.predict(rows(5)), np.tanh(rows(5) * 2).sum(1), rtol=1e-5, atol=1e-6)


class Places(torch.nn.Module):
    """What is exported of it makes a tensor of its own, and looks at where another is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight(x.to(torch.float32) + torch.arange(3))


def exported_places() -> torch.export.ExportedProgram:
    module, example = Places().eval(), torch.ones(2, 3, dtype=torch.float64)
    return torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("rows")},))


def test_what_a_program_makes_is_where_its_weights_are() -> None:
    """On "meta", a device that every PyTorch has; as on a GPU, nothing there goes together with what is elsewhere."""
    module = exported_places().module()
    bring(module, torch.device("meta"))
    answer = module(torch.ones(5, 3, dtype=torch.float64, device="meta"))
    assert (answer.device.type, tuple(answer.shape)) == ("meta", (5, 3))


class Told(torch.nn.Module):
    """The device stands in its code, and where it is frozen, so do its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.weight
        if len(x) > 2:
            made = made + torch.ones(len(x), 1, device="cpu")
        return x + made


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_what_torchscript_makes_and_has_in_its_code_is_where_its_inputs_are() -> None:
    module = torch.jit.freeze(torch.jit.script(Told().eval()))
    bring(module, torch.device("meta"))
    for _ in range(3):  # the later ones are of the code that it has made faster
        assert module(torch.ones(5, 3, device="meta")).device.type == "meta"


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_scripted_module_of_somebody_stays_as_it_is() -> None:
    scripted = torch.jit.trace(torch.nn.Linear(3, 2).double().eval(), torch.ones(2, 3, dtype=torch.float64))
    with Predictor(scripted, precision="fp32", example=np.ones((2, 3), np.float32)) as predictor:
        predictor.predict(np.ones((2, 3), np.float32))
    assert scripted.weight.dtype is torch.float64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("form", ["program", "script", "compiled"])
def test_every_form_answers_alike_on_a_gpu(form: str) -> None:
    numbers = np.random.default_rng(5).normal(size=(40, 3))
    model: object = Places().eval()
    if form == "program":
        model = exported_places()
    elif form == "script":
        model = torch.jit.trace(model, torch.ones(2, 3, dtype=torch.float64))
    with Predictor(model, example=numbers[:2]) as here:
        wanted = here.predict(numbers)
    with Predictor(model, device="cuda", compile=form == "compiled", example=numbers[:2]) as there:
        for _ in range(3):
            np.testing.assert_allclose(there.predict(numbers), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_the_same_answers_on_a_gpu() -> None:
    module = Net()
    with Predictor(module) as predictor:
        here = predictor.predict(rows(50))["scores"]
    for precision, tolerance in ((None, 1e-5), ("fp16", 1e-2)):
        with Predictor(module, device="cuda", precision=precision) as predictor:
            np.testing.assert_allclose(predictor.predict(rows(50))["scores"], here, rtol=tolerance, atol=tolerance)


def test_a_module_that_keeps_its_answer() -> None:
    class Keeps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", torch.zeros(4, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.mul(x, 2, out=self.kept[: len(x)])

    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    with Predictor(Keeps()) as predictor:
        np.testing.assert_array_equal(predictor.predict_batch(rows, batch_size=2), 2 * rows)
