"""Predictions in this process: a facade over one engine."""

from foretell.predictor.facade import BasePredictor, Predictor

__all__ = ["BasePredictor", "Predictor"]
