"""The doors: parse, authorise, start, answer."""
