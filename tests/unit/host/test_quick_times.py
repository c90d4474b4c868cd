"""The SDK's time stamps, read by the host's parser as by the SDK's own."""

import pytest
from dateutil.parser import parse  # type: ignore[import-untyped]  # comes with the SDK

from local.host.invoking import quick_parser


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-26T10:00:00Z",
        "2026-11-26T10:00:00.1Z",
        "2026-11-26T10:00:00.960058Z",
        "2026-11-26T10:00:00.9605814Z",
        "2026-11-26T10:00:00+02:00",
        "2026-11-26T10:00:00",
    ],
)
def test_a_time_is_what_the_sdk_would_have_read(text: str) -> None:
    mine, theirs = quick_parser(parse)(text), parse(text)
    assert (mine, mine.tzinfo) == (theirs, theirs.tzinfo)
