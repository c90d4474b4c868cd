"""The ports made real: the only place with SDKs. Nothing is decided here."""
