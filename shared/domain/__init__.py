"""Pure: no I/O, no clock, no randomness, no SDK. Every decision of a warm-up is taken here."""
