"""LightGBM models, live and from .txt files."""
