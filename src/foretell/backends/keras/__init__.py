"""Keras models, live and from .keras files."""
