"""Pretrained trunks: what is at hand, and what was fetched for a machine without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ova.cli.render.console import show_json, show_lines, show_table

if TYPE_CHECKING:
    from ova.heads.network.pretrained import FetchedTrunk
    from ova.heads.network.trunks_at_hand import ListedTrunk

_HEADER = ("name", "where", "MB", "input", "licence", "not at hand")


def at_hand(trunks: Sequence[ListedTrunk], *, as_json: bool) -> None:
    """Show the trunks that need no network, and how to get those that a package would bring."""
    if as_json:
        show_json([trunk.to_json() for trunk in trunks])
        return
    show_table("pretrained trunks", [_HEADER, *map(_row, trunks)])
    ready = sum(trunk.at_hand for trunk in trunks)
    show_lines(
        [
            f"{ready} at hand without a network; others of timm are fetched once from its hub",
            "for a machine without a network: ova trunks --fetch NAME --to FOLDER",
        ]
    )


def _row(trunk: ListedTrunk) -> tuple[str, ...]:
    return (
        trunk.name,
        trunk.where,
        "" if trunk.size is None else f"{trunk.size / 1e6:.1f}",
        "unknown" if trunk.input_size is None else "{} x {}".format(*trunk.input_size),
        _licence(trunk.licence, barred=trunk.non_commercial),
        trunk.note or "",
    )


def _licence(licence: str | None, *, barred: bool) -> str:
    return f"{licence or 'unknown'}{' (not for commercial use)' if barred else ''}"


def fetched(trunks: Sequence[FetchedTrunk], *, as_json: bool) -> None:
    """Show what was written, and what a recipe says to use it elsewhere."""
    if as_json:
        show_json([trunk.to_json() for trunk in trunks])
        return
    for trunk in trunks:
        licence = _licence(trunk.origin.licence, barred=trunk.non_commercial)
        show_lines(
            [
                f"wrote {trunk.path} from {trunk.origin.source}, licence {licence}",
                "copy it into the workspace of the other machine; its recipe says, with the path from there:",
                "",
                "[backbone]",
                f'name = "{trunk.name}"',
                f'weights = "{trunk.path.name}"',
                "",
                "[input]  # size {} x {}, and for three channels:".format(*trunk.input_size),
                f"mean = {list(trunk.mean)}",
                f"std = {list(trunk.std)}",
                "",
            ]
        )
