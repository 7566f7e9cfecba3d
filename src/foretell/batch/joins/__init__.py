"""One file of several parts, made of their bytes: no row is read, and nothing of Arrow is imported."""
