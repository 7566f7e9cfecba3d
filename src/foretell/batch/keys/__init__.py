"""Keys that stand more than once: noticed while rows are scored, where keys are in order; else they are read again."""
