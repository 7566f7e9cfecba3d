"""Callables and classes of the user's own."""
