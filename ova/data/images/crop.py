"""The middle of an image, in whole numbers: the same pixels everywhere. Without numpy, for the manifest."""

from __future__ import annotations

WHOLE = 1000
"""Thousandths of either side that are kept where nothing is cropped."""


def middle(length: int, crop: int) -> slice:
    """Return the pixels of a side that a crop keeps: at least one, in whole numbers throughout."""
    kept = max(1, (length * crop + WHOLE // 2) // WHOLE)
    return slice((length - kept) // 2, (length - kept) // 2 + kept)
