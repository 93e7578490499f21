"""A workspace of drawn cells in which everything is wrong that cleaning knows."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import Image, ImageFilter

from ova.data.synthetic import SyntheticCells, draw_cells
from ova.workspace import Workspace

CELLS = 24
SOUND = [f"cells/{number:02d}.png" for number in range(CELLS)]
SPLIT = "[split]\ntest = 0.3\nvalidation = 0.3\n"


class Messy:
    """What was written: a workspace, and its label table as (crack, inactive) by image."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.data = root / "data"
        self.labels: dict[str, tuple[object, object]] = {}

    def path(self, image: str) -> Path:
        """Return where an image lies."""
        return self.data / image

    def add(self, image: str, pixels: Image.Image | None, crack: object = 0, inactive: object = 0) -> None:
        """Save an image, if there is one, and give it a row."""
        self.path(image).parent.mkdir(parents=True, exist_ok=True)
        if pixels is not None:
            pixels.save(self.path(image))
        self.labels[image] = (crack, inactive)

    def declare(self, text: str = "") -> None:
        """Write dataset.toml and the table."""
        rows = [f"{image},{crack},{inactive}" for image, (crack, inactive) in self.labels.items()]
        (self.data / "data.csv").write_text("\n".join(["image,crack,inactive", *rows]) + "\n")
        self.workspace.dataset_recipe.write_text(f'labels = "data.csv"\n{text}{SPLIT}')


@cache
def _cells() -> SyntheticCells:
    return draw_cells(CELLS, size=96)


def sound_workspace(root: Path) -> Messy:
    """Draw cells with nothing wrong in them."""
    made, cells = Messy(root), _cells()
    for number, image in enumerate(SOUND):
        labels = int(cells.crack[number]), int(cells.inactive[number])
        made.add(image, Image.fromarray(cells.images[number]), *labels)
    made.declare()
    return made


def add_mess(made: Messy) -> None:
    """Add one or two images of every kind that is wrong, or worth a look."""

    def cell(number: int) -> Image.Image:
        return Image.open(made.path(SOUND[number]))

    made.add("copy of 03.png", cell(3), *made.labels[SOUND[3]])
    made.add("copy of 04.png", cell(4), 1 - int(str(made.labels[SOUND[4]][0])), 0)
    flipped = cell(10).transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda level: round(level * 0.9))
    made.add("flip of 10.png", flipped, made.labels[SOUND[10]][0], "")
    made.add("blurred.png", cell(12).filter(ImageFilter.GaussianBlur(3)))
    made.add("flat.png", Image.new("L", (96, 96), 40))
    made.add("small.png", cell(14).resize((12, 20)))
    made.add("red.png", Image.merge("RGB", [cell(15), cell(16), cell(17)]))
    dark = Image.new("L", (96, 96), 0)
    dark.paste(255, (0, 0, 5, 5))
    made.add("dark.png", dark)
    made.add("bright.png", dark.point(lambda level: 255 - level))
    made.declare()


def add_unusable(made: Messy) -> None:
    """Add an image that is not there, one that is none, and one that is cut off."""
    made.add("gone.png", None, 1)
    made.add("page.png", None)
    made.path("page.png").write_text("<html>")
    made.add("cut.png", None, 0, 1)
    made.path("cut.png").write_bytes(made.path(SOUND[0]).read_bytes()[:500])
    made.declare()
