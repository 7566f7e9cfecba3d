"""Where answers go: one file per format."""
