"""What dataset.toml may say of near duplicates and of images to leave out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ova.recipes import Settings


class DuplicateRule(Settings):
    """Which images count as near duplicates; those of one cluster stay on one side of every split."""

    tolerance: int = Field(default=4, ge=0, le=10)
    """Bits of 64 in which two perceptual hashes may differ; more finds more crops, and takes longer."""

    likeness: float = Field(default=0.98, gt=0, le=1)
    """Least correlation of the two thumbnails, after a small shift, stretch, turn and change of light."""

    turned: bool = True
    """Whether flips and quarter turns of an image count as well."""


class CleanRule(Settings):
    """Which images `ova data clean` leaves out, besides those that are unreadable or show one shade."""

    min_side: int | None = Field(default=None, ge=1)
    """Least shorter side in pixels; nothing is too small when left out."""

    sharpness: float | None = Field(default=None, gt=0)
    """Least sharpness, as runs/quality.csv shows it; nothing is too blurred when left out."""

    colour: Literal["colour", "grey"] | None = None
    """The form that images must have; both are welcome when left out."""

    duplicates: Literal["keep", "identical", "near"] = "identical"
    """Of images with identical pixels, or of near duplicates too, one is kept if their labels agree."""

    conflicts: Literal["keep", "exclude"] = "keep"
    """Whether duplicates whose labels contradict each other are left out, all of them."""
