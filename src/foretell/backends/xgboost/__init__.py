"""XGBoost models, live and from .ubj and .json files."""
