"""What holds for all tests: properties are searched, not timed."""

from hypothesis import HealthCheck, settings

# Another program's own, which would count in this one too.
collect_ignore = ["testkit/moments/sitecustomize.py"]

# A deadline per example fails on a busy machine, where nothing is wrong with the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
