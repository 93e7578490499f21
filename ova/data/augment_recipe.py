"""What a recipe may say of augmentation; light, so that recipes are read without torch."""

from __future__ import annotations

from pydantic import Field

from ova.recipes import Settings


class AugmentSettings(Settings):
    """What training may do to an image; everything is off unless said."""

    flips: bool = False
    """Mirror left-right and up-down, each with probability 1/2."""
    quarter_turns: bool = False
    """Turn by 0, 90, 180 or 270 degrees."""
    shift: float = Field(default=0.0, ge=0, le=0.5)
    """Move by up to this share of height and width, mirrored at the border."""
    brightness: float = Field(default=0.0, ge=0, le=1)
    """Add up to this share of white, up or down."""
    contrast: float = Field(default=0.0, ge=0, le=1)
    """Scale the distance from the image's mean by a factor within 1 - x .. 1 + x."""
