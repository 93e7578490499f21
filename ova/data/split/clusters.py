"""Which images belong together: the same group, identical pixels, or a cluster of near duplicates."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ova.data.labels.table import LabelTable
from ova.data.tables.texts import in_order_met


@dataclass(frozen=True, eq=False)
class Clusters:
    """n images in c clusters, all in the order of their names, so that the order of the table says nothing.

    Attributes:
        rows: (n,) the row of the table of every image, sorted by image id.
        of_image: (n,) the cluster of every image, in the order of `rows`.
        names: c names: the first image of every cluster; they are sorted.
    """

    rows: NDArray[np.intp]
    of_image: NDArray[np.intp]
    names: tuple[str, ...]

    def sizes(self) -> NDArray[np.intp]:
        """Images per cluster, (c,)."""
        return np.bincount(self.of_image, minlength=len(self.names))


def find_clusters(
    table: LabelTable, pixels: Mapping[str, str], together: Iterable[Sequence[str]] = ()
) -> Clusters:
    """Join images that share a group, their pixels, or an entry of `together`, also through each other.

    Args:
        table: Images and groups.
        pixels: Image -> digest of its pixels.
        together: Image ids that must not be parted, such as near duplicates; ids that the table lacks are
            passed over.
    """
    images = list(table.images)
    rows = sorted(range(len(images)), key=images.__getitem__)
    position = {images[row]: place for place, row in enumerate(rows)}
    named = [images[row] for row in rows]
    edges = [
        _codes(table.groups[row] for row in rows),
        _codes(pixels[image] for image in named),
    ]
    joined = [[position[image] for image in group if image in position] for group in together]
    of_image = _components(len(rows), edges, joined)
    _, first = np.unique(of_image, return_index=True)
    names = tuple(named[place] for place in first)
    return Clusters(np.array(rows, np.intp), of_image, names)


def _codes(keys: Iterable[Hashable]) -> NDArray[np.intp]:
    """Number keys by their first appearance."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], np.intp)


def _components(
    count: int, edges: Sequence[NDArray[np.intp]], joined: Sequence[Sequence[int]]
) -> NDArray[np.intp]:
    """Number the components, by their first image, of images tied to what they share."""
    places, ends, nodes = [np.arange(count)] * len(edges), [], count
    for codes in edges:
        ends.append(codes + nodes)
        nodes += count
    for group in joined:
        places.append(np.array(group[1:], np.intp))
        ends.append(np.full(max(len(group) - 1, 0), group[0] if group else 0, np.intp))
    one, other = np.concatenate(places), np.concatenate(ends)
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(nodes, nodes))
    labels = connected_components(graph, directed=False)[1][:count]
    return in_order_met(labels)
