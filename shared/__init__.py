"""What stories and hands both speak; nothing else may live here."""
