"""The app's own identity, asked for a token a bounded number of times.

azure-identity waits in the thread for as long as the endpoint asks, ten times over, and lets whatever is no
token in an answer fall out as it is.
"""

import time
from collections.abc import Sequence
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError, ServiceResponseError

PAUSES_SECONDS = (1.0, 2.0)


class AppIdentity:
    """The SDKs' `TokenCredential` over one of azure-identity that does not try again by itself."""

    def __init__(self, credential: TokenCredential, pauses_seconds: Sequence[float] = PAUSES_SECONDS) -> None:
        """Keep who knows where tokens come from, and how long is waited after each failure but the last."""
        self._credential = credential
        self._pauses_seconds = pauses_seconds

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A token for these scopes.

        Raises:
            AzureError: there is none, after a try more than there are pauses.
        """
        for pause in self._pauses_seconds:
            try:
                return self._ask(scopes, options)
            except AzureError:  # of what kind, azure-identity does not tell
                time.sleep(pause)
        return self._ask(scopes, options)

    def _ask(self, scopes: tuple[str, ...], options: dict[str, Any]) -> AccessToken:
        try:
            return self._credential.get_token(*scopes, **options)
        except (ValueError, TypeError, LookupError, AttributeError) as nonsense:
            raise ServiceResponseError(
                f"the identity endpoint's answer is no token ({type(nonsense).__name__})"
            ) from nonsense
