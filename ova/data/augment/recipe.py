"""What a recipe may say of augmentation; light, so that recipes are read without torch."""

from __future__ import annotations

from pydantic import Field, model_validator

from ova.recipes import Settings

CROP_ASPECT = 4 / 3


class AugmentSettings(Settings):
    """What training may do to an image; everything is off unless said, and drawn anew in every epoch."""

    flips: bool = False
    """Mirror left-right and up-down, each with probability 1/2."""
    quarter_turns: bool = False
    """Turn by 0, 90, 180 or 270 degrees."""
    shift: float = Field(default=0.0, ge=0, le=0.5)
    """Move by up to this share of height and width (whole pixels), mirrored at the border."""
    rotation: float = Field(default=0.0, ge=0, le=180)
    """Turn by up to this many degrees, either way."""
    scale: float = Field(default=0.0, ge=0, le=0.5)
    """Enlarge or shrink by a factor within 1 - x .. 1 + x."""
    shear: float = Field(default=0.0, ge=0, le=45)
    """Slant rows and columns by up to this many degrees."""
    perspective: float = Field(default=0.0, ge=0, le=0.4)  # beyond, the horizon may come into the image
    """Move each corner inwards by up to this share of half a side, as a tilted camera does."""
    crop: float = Field(default=1.0, ge=0.05, le=1)
    """Smallest share of the area that a random crop keeps, enlarged to full size again (1 is off)."""
    crop_aspect: float = Field(default=CROP_ASPECT, ge=1, le=4)
    """The crop's width is stretched against its height by a factor within 1 / x .. x."""
    exposure: float = Field(default=0.0, ge=0, le=1)
    """Multiply all light by a factor within 1 - x .. 1 + x."""
    brightness: float = Field(default=0.0, ge=0, le=1)
    """Add up to this share of white, up or down."""
    contrast: float = Field(default=0.0, ge=0, le=1)
    """Scale the distance from the image's mean grey by a factor within 1 - x .. 1 + x."""
    saturation: float = Field(default=0.0, ge=0, le=1)
    """Scale the distance from each pixel's grey by a factor within 1 - x .. 1 + x; grey images stay."""
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Turn colours by up to this share of the colour circle; grey images stay."""
    blur: float = Field(default=0.0, ge=0, le=10)
    """Blur with a Gaussian of a standard deviation of up to this many pixels."""
    sharpness: float = Field(default=0.0, ge=0, le=1)
    """Scale what a 3 x 3 smoothing takes away by a factor within 1 - x .. 1 + x."""
    noise: float = Field(default=0.0, ge=0, le=0.5)
    """Add Gaussian noise to every pixel, its standard deviation up to this share of white."""
    erasing: float = Field(default=0.0, ge=0, le=0.5)
    """Cover a rectangle of up to this share of the area with the image's mean colour."""

    @model_validator(mode="after")
    def _agree(self) -> AugmentSettings:
        if self.crop == 1 and self.crop_aspect != CROP_ASPECT:
            raise ValueError("crop_aspect needs crop below 1")
        return self

    @property
    def resamples(self) -> bool:
        """Whether pixels move by anything but whole pixels, mirrors and quarter turns."""
        strengths = (self.rotation, self.scale, self.shear, self.perspective, 1 - self.crop)
        return any(strengths)
