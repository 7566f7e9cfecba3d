"""Catalogues of models from folders."""
