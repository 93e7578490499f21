"""The command that makes a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ova.cli.render import console
from ova.cli.session import Json


def init(
    folder: Annotated[Path, typer.Argument(help="Where to make the workspace.")] = Path(),
    labels: Annotated[
        list[Path] | None, typer.Option(help="Label table (CSV), beside or inside a zip; repeat to pool.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder or zip of images, or of class folders.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Character between cells; else found.")] = None,
    image_column: Annotated[
        str | None, typer.Option(help="Column of the image paths; else the first.")
    ] = None,
    class_column: Annotated[
        list[str] | None, typer.Option(help="Long table: column of the class; repeat for coarse and fine.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(help="Wide table: a label column; repeat it.")] = None,
    label_names: Annotated[
        list[str] | None, typer.Option(help="Names for codes.", metavar="FILE or COLUMN=FILE")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A class to leave out; repeat it.")] = None,
    group_column: Annotated[str | None, typer.Option(help="Column of what belongs together.")] = None,
    group_pattern: Annotated[str | None, typer.Option(help="The same, as a pattern in image paths.")] = None,
    as_json: Json = False,
) -> None:
    """Make a workspace from label tables or class folders, or the heads for a data/dataset.toml."""
    from ova.scaffold.dataset_settings import RawData
    from ova.scaffold.scaffold import make_workspace

    data = RawData(
        labels=labels or (),
        images=images,
        delimiter=delimiter,
        image_column=image_column,
        class_columns=class_column or (),
        label_columns=label or (),
        label_names=label_names or (),
        drop_classes=drop or (),
        group_column=group_column,
        group_pattern=group_pattern,
    )
    made = make_workspace(folder, data)
    if as_json:
        console.show_json(made.to_json())
        return
    console.show_table("labels", made.rows())
    console.show_lines(
        [*made.notes, *(f"wrote {path}" for path in made.files), f"next: ova -C {folder} train"]
    )
