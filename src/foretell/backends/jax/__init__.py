"""Functions that jax.export has written."""
