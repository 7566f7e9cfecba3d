"""Rows, dicts, NumPy, pandas, Polars, Arrow and JSON values <-> Batch."""
