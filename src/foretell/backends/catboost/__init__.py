"""CatBoost models, live and from .cbm files."""
