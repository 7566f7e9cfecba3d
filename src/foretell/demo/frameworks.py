"""One model of PyTorch and one of boosted trees, over the same table: made where their packages are installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from foretell.demo.folder import DemoFolder
from foretell.extras import needs

Array = np.ndarray[Any, Any]
_EPOCHS = 60


@dataclass(frozen=True, slots=True)
class Framework:
    """`extra`: what brings it. `make`: trains on rows and classes, and writes the file."""

    name: str
    package: str
    extra: str
    file: str
    make: Callable[[Array, Array, Path], None]

    def check(self) -> None:
        """Raises `MissingExtra` where its package is not installed, `Unavailable` where it does not load."""
        with needs(self.package, self.extra, "it"):
            import_module(self.package)


def make_model(folder: DemoFolder, framework: Framework) -> Path:
    """Trains it on three quarters of the breast cancer table, writes it, and gives its file."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer()
    train, _ = train_test_split(np.arange(len(data.target)), test_size=0.25, stratify=data.target, random_state=0)
    file = folder.new("models", framework.name, "1", framework.file)
    framework.make(data.data[train], data.target[train], file)
    return file


def patients(folder: DemoFolder, count: int = 64) -> Path:
    """A file of rows for all of them."""
    from sklearn.datasets import load_breast_cancer

    file = folder.new("inputs", "patients.npy")
    np.save(file, load_breast_cancer().data[:count].astype(np.float32))
    return file


def _network(rows: Array, classes: Array, file: Path) -> None:
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.BatchNorm1d(rows.shape[1]), torch.nn.Linear(rows.shape[1], 16),
                                  torch.nn.ReLU(), torch.nn.Linear(16, 2), torch.nn.Softmax(-1))  # fmt: skip
    inputs, wanted = torch.tensor(rows, dtype=torch.float32), torch.tensor(classes)
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    for _ in range(_EPOCHS):
        optimizer.zero_grad()
        loss = torch.nn.functional.nll_loss(torch.log(network(inputs) + 1e-9), wanted)
        loss.backward()
        optimizer.step()
    any_rows = {0: torch.export.Dim("rows")}
    torch.export.save(torch.export.export(network.eval(), (inputs[:2],), dynamic_shapes=(any_rows,)), file)


def _trees(rows: Array, classes: Array, file: Path) -> None:
    import xgboost

    parameters = {"objective": "binary:logistic", "max_depth": 4, "seed": 0}
    xgboost.train(parameters, xgboost.DMatrix(rows, classes), 30).save_model(file)


FRAMEWORKS = (
    Framework("network", "torch", "torch", "model.pt2", _network),
    Framework("trees", "xgboost", "xgboost", "model.ubj", _trees),
)
