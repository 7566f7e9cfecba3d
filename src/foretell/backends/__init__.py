"""One small file per framework: open an artefact, give a Model."""
