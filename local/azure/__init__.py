"""The ARM, identity and blob endpoints a warm-up calls, over TLS, with a state one can look at."""
