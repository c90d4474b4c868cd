"""What holds for all tests: properties are searched, not timed."""

from hypothesis import HealthCheck, settings

# A deadline per example fails on a busy machine, where nothing is wrong with the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
