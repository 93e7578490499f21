"""The images of a workspace one by one, as they are in the stores but in their own size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ova.data.files.find import open_files
from ova.data.files.image_files import ImageFiles
from ova.data.files.location import image_root
from ova.data.images.decode import decode_image
from ova.data.recipe import DatasetRecipe
from ova.recipes import load_recipe
from ova.workspace import Workspace


@dataclass(frozen=True)
class Pictures:
    """Reads images of a folder or an archive; of all the others it reads nothing."""

    recipe: DatasetRecipe
    files: ImageFiles

    def decode(self, image: str, channels: int) -> NDArray[np.uint8]:
        """Decode one image (height, width, channels); see `ova.data.images.decode.decode_image`.

        Raises:
            DataError: It is missing or refused.
        """
        return decode_image(
            self.files.read(image),
            channels=channels,
            white_level=self.recipe.white_level,
            draft_side=self.recipe.draft_side,
        )


def open_pictures(workspace: Workspace) -> Pictures:
    """Find the images of a workspace.

    Raises:
        RecipeError: dataset.toml is wrong.
        DataError: The folder or archive is missing.
    """
    recipe = load_recipe(workspace.dataset_recipe, DatasetRecipe)
    return Pictures(recipe, open_files(recipe, image_root(workspace, recipe)))
