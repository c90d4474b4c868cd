"""Measurements: each against a named rival or limit in the same run, told as ratios."""
