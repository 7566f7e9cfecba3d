"""What holds for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine must not fail a test, so no property has a time limit of its own.
settings.register_profile("foretell", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("foretell")
