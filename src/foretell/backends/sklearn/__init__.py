"""scikit-learn estimators, live and from .skops files."""
