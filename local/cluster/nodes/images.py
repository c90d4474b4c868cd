"""Which images exist: patterns stand in for registries, and the host's toolbox for every image's content."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Answer = Literal["present", "absent", "unauthorized"]

PAUSE_PATTERNS = ("*/pause:*", "*/pause@*", "pause:*")
"""Images whose only business is to wait: no process is started for them."""

UNAUTHORIZED_PREFIX = "!"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCatalogue:
    """The images that can be pulled, and those that want a login."""

    present: tuple[str, ...]
    unauthorized: tuple[str, ...] = ()

    def ask(self, image: str) -> Answer:
        """What a registry would say."""
        if any(fnmatchcase(image, pattern) for pattern in self.unauthorized):
            return "unauthorized"
        return "present" if any(fnmatchcase(image, pattern) for pattern in self.present) else "absent"


EVERYTHING = ImageCatalogue(present=("*",))
"""Without a file of images, every image exists."""


class ImageFile:
    """A catalogue in a file that may change at any time: an image is pushed, a role is granted."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = load_images(file)

    def ask(self, image: str) -> Answer:
        """What a registry would say now."""
        # A file that is half written, or wrong: what was known stands.
        with suppress(OSError, ValueError):
            self._known = load_images(self._file)
        return self._known.ask(image)


def load_images(file: Path) -> ImageCatalogue:
    """From a JSON list of patterns; one that begins with `!` names images that want a login.

    Raises:
        ValueError: the file holds something else.
    """
    patterns = json.loads(file.read_text())
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f'{file} must hold a JSON list of image patterns, like ["*/ncbi/elb:*"]')
    return ImageCatalogue(
        present=tuple(pattern for pattern in patterns if not pattern.startswith(UNAUTHORIZED_PREFIX)),
        unauthorized=tuple(
            pattern.removeprefix(UNAUTHORIZED_PREFIX)
            for pattern in patterns
            if pattern.startswith(UNAUTHORIZED_PREFIX)
        ),
    )


def is_pause(container: dict[str, object]) -> bool:
    """Whether a container only waits: a pause image with nothing else to run."""
    image = str(container["image"])
    return not container.get("command") and any(fnmatchcase(image, pattern) for pattern in PAUSE_PATTERNS)


def pull_failure(image: str, answer: Answer) -> str:
    """The container runtime's long message about an image that cannot be had."""
    prefix = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}"'
    if answer == "unauthorized":
        return (
            f"{prefix}: failed to authorize: failed to fetch anonymous token: unexpected status from GET "
            "request: 401 Unauthorized"
        )
    return f"{prefix}: {image}: not found"
