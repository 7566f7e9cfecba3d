"""What `foretell demo` does: train, predict one by one and in batches, serve, compare, draw. Prints nothing itself."""
