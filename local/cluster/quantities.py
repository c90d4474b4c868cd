"""Kubernetes quantities: `250m` CPU, `1Gi` memory."""

from __future__ import annotations

import re

_QUANTITY = re.compile(r"^([+-]?\d+(?:\.\d+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")

_FACTORS = {
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}


def parse_quantity(text: str | float) -> float:
    """The amount in its base unit: cores, bytes.

    >>> parse_quantity("250m"), parse_quantity("1Gi"), parse_quantity(2)
    (0.25, 1073741824.0, 2.0)

    Raises:
        ValueError: it is no quantity.
    """
    found = _QUANTITY.match(str(text))
    if not found:
        raise ValueError(f"{text!r} is no quantity; write 500m, 2, 64Mi or 1Gi")
    return float(found[1]) * _FACTORS.get(found[2] or "", 1)
