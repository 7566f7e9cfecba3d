"""Breast cancer: a table of 30 measurements for each patient, and a scikit-learn pipeline kept as skops."""

from __future__ import annotations

import csv

import numpy as np

from foretell.demo.folder import DemoFolder
from foretell.demo.task import Task


def make_cancer(folder: DemoFolder, most_rows: int | None) -> Task:
    """Trains on three quarters of the 569 patients, and writes the model and samples.

    Data: Wolberg, Mangasarian, Street and Street, Breast Cancer Wisconsin (Diagnostic), UCI Machine Learning
    Repository, as scikit-learn bundles it.
    """
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from skops.io import dump

    data = load_breast_cancer()
    diagnoses = data.target_names[data.target]
    train, test = train_test_split(np.arange(len(diagnoses)), test_size=0.25, stratify=diagnoses, random_state=0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data[train], diagnoses[train])
    model_file = folder.new("models", "cancer", "1", "model.skops")
    dump(pipeline, model_file)
    sample = folder.new("inputs", "cancer.csv")
    with sample.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(data.feature_names)
        writer.writerows(data.data[test[:20]].tolist())
    rows = np.concatenate([test, train])[:most_rows]
    return Task(
        name="cancer",
        model=str(model_file),
        served_as=str(folder.models),
        rows=data.data[rows],
        expected=diagnoses[rows].tolist(),
        held_out=range(min(len(test), len(rows))),
        one="patient",
        sample=sample,
    )
