"""What a model does here: one row at a time, rows of many callers together, and batches; and what to set."""
