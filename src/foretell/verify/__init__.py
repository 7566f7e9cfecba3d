"""The proof of the promise: the same rows through every door, compared bit by bit."""
