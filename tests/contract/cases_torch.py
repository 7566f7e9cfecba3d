"""PyTorch: exported programs, TorchScript, weights with their class, and live modules."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contract_case import Case
from safetensors.torch import save_file
from sklearn.datasets import load_breast_cancer

from foretell.backends import open_model
from foretell.backends.opened import Opened
from foretell.columns import Batch
from foretell.config import ModelSettings

WEIGHTS = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(30, 8)
        self.second = torch.nn.Linear(8, 2)

    def forward(self, x):
        return torch.softmax(self.second(torch.relu(self.first(x))), -1)
"""


class Net(torch.nn.Module):
    """Its first layer writes into whatever it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(30, 8)
        self.second = torch.nn.Linear(8, 2)
        self.quiet = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.relu(x, inplace=True)
        return torch.softmax(self.second(self.quiet(torch.relu(self.first(x)))), -1)


class Named(torch.nn.Module):
    """Takes two inputs of different types, and gives two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(50, 6)

    def forward(self, ids: torch.Tensor, weight: torch.Tensor) -> dict[str, Any]:
        words = self.words(ids) * weight[:, None, None]
        return {"mean": words.mean(1), "parts": {"longest": words.amax((1, 2)), "any": (ids > 25).any(1)}}


@cache
def net() -> Net:
    torch.manual_seed(3)
    return Net().eval()


@cache
def named() -> Named:
    torch.manual_seed(4)
    return Named().eval()


@cache
def rows() -> np.ndarray:
    data = load_breast_cancer().data.astype(np.float32)
    return (data / data.max(0))[::100].copy()


def cases() -> list[Case]:
    output = net()(torch.tensor(rows())).detach().numpy()
    return [
        case("program", exported(torch.export.Dim("rows")), output),
        case("program-rows-of-two", exported(torch.export.Dim("rows", min=2)), output),
        case("program-four-rows", exported(None), output),
        case("program-live", lambda folder: open_model(program(torch.export.Dim("rows")), ModelSettings()), output),
        case("script", scripted, output),
        case("weights", weights, WEIGHTED.numpy()),
        case("module", lambda folder: open_model(net(), ModelSettings(), example=rows()[:2]), output),
        case("module-unknown", lambda folder: open_model(net(), ModelSettings()), output),
        two_inputs(),
        two_inputs(live=True),
    ]


def case(name: str, open: Callable[[Path], Opened], output: np.ndarray) -> Case:
    return Case(name=f"torch-{name}", open=open, batch=Batch.of(x=rows()), expected={"output": output})


@cache
def program(rows_of: Any) -> Any:
    """Exported with any number of rows, or with the number of its example alone."""
    example = torch.tensor(rows()[:4])
    return torch.export.export(net(), (example,), dynamic_shapes={"x": {0: rows_of}} if rows_of else None)


def exported(rows_of: Any) -> Callable[[Path], Opened]:
    def open(folder: Path) -> Opened:
        torch.export.save(program(rows_of), folder / "net.pt2")
        return open_model(folder / "net.pt2", ModelSettings())

    return open


def scripted(folder: Path) -> Opened:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(net(), torch.tensor(rows()[:2])).save(str(folder / "net.pt"))
    return open_model(folder, ModelSettings())


def weighted() -> torch.nn.Module:
    """The class of `WEIGHTS`, as a file of its own has it."""
    space: dict[str, Any] = {"__name__": "weighted"}
    exec(WEIGHTS, space)  # noqa: S102 (our own text)
    torch.manual_seed(5)
    made: torch.nn.Module = space["Net"]()
    return made.eval()


WEIGHTED_NET = weighted()
WEIGHTED = WEIGHTED_NET(torch.tensor(rows())).detach()


def weights(folder: Path) -> Opened:
    (folder / "code.py").write_text(WEIGHTS)
    save_file(WEIGHTED_NET.state_dict(), folder / "net.safetensors")
    try:
        return open_model(folder / "net.safetensors", ModelSettings(model_class=f"{folder / 'code.py'}:Net"))
    finally:
        sys.path[:] = [place for place in sys.path if place != str(folder)]


def two_inputs(*, live: bool = False) -> Case:
    ids = np.arange(30).reshape(6, 5) * 7 % 50
    weight = np.linspace(-1, 2, 6, dtype=np.float32)
    with torch.no_grad():
        answer = named()(torch.tensor(ids), torch.tensor(weight))
    expected = {"mean": answer["mean"].numpy(), "parts_longest": answer["parts"]["longest"].numpy(),
                "parts_any": answer["parts"]["any"].numpy()}  # fmt: skip

    def open(folder: Path) -> Opened:
        if live:
            return open_model(named(), ModelSettings(), example={"ids": ids[:2], "weight": weight[:2]})
        axis = {0: torch.export.Dim("rows", min=1)}
        two = (torch.tensor(ids[:2]), torch.tensor(weight[:2]))
        made = torch.export.export(named(), two, dynamic_shapes={"ids": axis, "weight": axis})
        torch.export.save(made, folder / "two.pt2")
        return open_model(folder / "two.pt2", ModelSettings())

    name = "torch-two-inputs-live" if live else "torch-two-inputs"
    return Case(name=name, open=open, batch=Batch.of(ids=ids, weight=weight), expected=expected)
