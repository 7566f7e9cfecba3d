"""Folders of Hugging Face: models of `transformers` by task, and sentence encoders of `sentence-transformers`."""
