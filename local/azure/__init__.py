"""An Azure for one laptop: ARM, managed identities, the Entra authority, and the blob gate over Azurite.

Served over TLS to the unmodified azure libraries and azcopy. `settings` says what there is, `world`
remembers what changed, everything else is a listener or a part of one. What is not served is refused by
name.
"""
