"""Rows that are augmented copies of other rows, recognised by the names of their files.

A table of 12,000 rows may be 2,000 images and their turns: `cell1.png`, `rot_cell1.png`, `mirrh_cell1.png`.
Split row by row, a model is tested on turned copies of what it was trained on. The pattern that is found here
keeps an image and its copies together.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.data.labels.groups import group_of

_MAX_IMAGES = 2_000_000
_SAMPLED_NAMES = 10_000
_LEAST_SOURCES = 3
_LEAST_SHARE = 0.02  # of the images, that must be copies

# Roboflow appends a random code to the name of the source.
_ROBOFLOW = r"^(.+)\.rf\.[0-9A-Za-z]{16,64}\.[^./]*$"
_NUMBER = "\0"  # stands for digits in what is added to a name
_SEPARATORS = re.compile(r"[_\-. ()]+")
# What tools and people call what they did to an image; the first two kinds are hardly ever names of classes.
_TURNED = r"(?:h|v|hor|vert|ud|lr)?(?:flip|mirr|mirror)(?:ped|ed)?(?:h|v|x|y|ud|lr)?|rot|rotated?|transposed?"
_COPIED = r"aug|augm|augment|augmented|augmentation|copy|orig|original"
_CHANGED = (
    r"turn|turned|crop|cropped|zoom|zoomed|scaled?|shift|shifted|shear|sheared|noise|noisy|blur|blurred|bright"
    r"|brightness|dark|contrast|colou?r|jitter|gamma|hue|sharp|sharpened|elastic|distorted|warp|warped|dup"
)
_SURE = re.compile(rf"(?:{_TURNED}|{_COPIED})\d*[hvxy]?", re.IGNORECASE)
_KNOWN = re.compile(rf"(?:{_TURNED}|{_COPIED}|{_CHANGED})\d*[hvxy]?", re.IGNORECASE)
_FILLER = re.compile(r"\d+|[hvxy]|lr|ud|hor|horizontal|vert|vertical|left|right|deg|of|and", re.IGNORECASE)


class Copies(NamedTuple):
    """How the names of copies are made."""

    pattern: str
    """For `[group] pattern`: finds the name of the source in every image path."""
    evidence: str
    """Why this is believed, in one line."""

    def advice(self) -> str:
        """Say what to write into dataset.toml."""
        quoted = json.dumps(self.pattern, ensure_ascii=False)
        pattern = "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in quoted)
        return f"add to data/dataset.toml the line [group] and below it pattern = {pattern}"


def copies_pattern(images: Sequence[str], values: NDArray[np.int8] | None = None) -> Copies | None:
    """Find out whether many images are named as copies of others.

    An image is taken for a copy if its name is that of another image of the same folder with something before
    or behind it, set off by `_`, `-`, `.` or a space, that has a letter in it: `rot_cell1` or `cell1-flip` of
    `cell1`. What is added must stand with three images at least, and be known as the name of an augmentation;
    or stand with most of the copied images, these be most of the table and have the labels of their sources.
    Where sources are not there (`cell1_orig`, `cell1_rot90`), most images must have such names, several each.

    Serial numbers (`cell0001`, `IMG_1234`, `scan_2`) and classes before a number (`crack_17`) say nothing.
    Of more than 10,000 images so many are looked at first, always the same ones; the others only if some of
    these are copies.

    Args:
        images: n image paths.
        values: (n, k) their labels; without them, only known names of augmentations count.

    Returns:
        The pattern, which finds something in every one of these paths; None without a clear sign of copies,
        or with more than 2,000,000 images.
    """
    if not 0 < len(images) <= _MAX_IMAGES:
        return None
    names = [_stem_of(image) for image in images]
    return (
        _made_by_roboflow(images)
        or _beside_their_sources(images, names, values)
        or _without_their_sources(images, names)
    )


def _made_by_roboflow(images: Sequence[str]) -> Copies | None:
    expression = re.compile(_ROBOFLOW)
    sources = set()
    for image in images:
        if not (match := expression.search(image)):
            return None
        sources.add(match[1])
    if len(sources) * 3 > len(images) * 2:
        return None
    what = f"{len(images):,} images are {len(sources):,} names, each with the random codes of Roboflow"
    return Copies(_ROBOFLOW, what)


def _beside_their_sources(
    images: Sequence[str], names: list[str], values: NDArray[np.int8] | None
) -> Copies | None:
    row_of = {name: row for row, name in enumerate(names)}
    sample = _sample(names)
    if 2 * sum(_copy_of(name, row_of) is not None for name in sample) < _LEAST_SHARE * len(sample):
        return None
    copies = {row: copy for row, name in enumerate(names) if (copy := _copy_of(name, row_of))}
    sources_of = _sources_of(copies.values())
    enough = {added for added, sources in sources_of.items() if len(sources) >= _LEAST_SOURCES}
    believed = {added for added in enough if _is_known(added)}
    sources = {copy.source for copy in copies.values()}
    if values is not None and 2 * (len(copies) + len(sources)) > len(images):
        others = [added for added in enough - believed if 2 * len(sources_of[added]) > len(sources)]
        believed |= {added for added in others if _same_labels(added, copies, row_of, values)}
    return _conclude(images, copies, believed)


def _same_labels(
    added: str, copies: Mapping[int, _CopyName], row_of: Mapping[str, int], values: NDArray[np.int8]
) -> bool:
    """Tell whether copies have the labels of their sources, and more often than chance would have it."""
    rows = np.array([row for row, copy in copies.items() if copy.added == added], np.intp)
    sources = np.array([row_of[copies[row].source] for row in rows.tolist()], np.intp)
    combinations = np.unique(np.vstack([values[rows], values[sources]]), axis=0, return_inverse=True)[1]
    of_copies, of_sources = combinations.reshape(2, -1)
    count = int(combinations.max()) + 1
    by_chance = np.bincount(of_copies, minlength=count) @ np.bincount(of_sources, minlength=count)
    return bool((of_copies == of_sources).mean() >= 0.99 and by_chance <= 0.9 * len(rows) ** 2)


def _without_their_sources(images: Sequence[str], names: list[str]) -> Copies | None:
    sample = _sample(names)
    if 3 * sum(_stripped(name) is not None for name in sample) < len(sample):
        return None
    copies = {row: copy for row, name in enumerate(names) if (copy := _stripped(name))}
    sources_of = _sources_of(copies.values())
    sources = {copy.source for copy in copies.values()}
    common = {added for added, found in sources_of.items() if 2 * len(found) > len(sources) >= _LEAST_SOURCES}
    if 2 * len(copies) <= len(images) or 2 * len(copies) < 3 * len(sources):
        return None
    return _conclude(images, copies, common)


def _sample(names: list[str]) -> list[str]:
    """Choose some names by their text alone, whatever their order."""
    if len(names) <= _SAMPLED_NAMES:
        return names
    keys = np.fromiter((zlib.crc32(name.encode()) for name in names), np.uint32, len(names))
    return [names[row] for row in np.argsort(keys)[:_SAMPLED_NAMES].tolist()]


def _sources_of(copies: Iterable[_CopyName]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for copy in copies:
        found[copy.added].add(copy.source)
    return found


def _conclude(
    images: Sequence[str], copies: Mapping[int, _CopyName], added: Collection[str]
) -> Copies | None:
    """Make the pattern for what is added to names, and check that it finds the source of every copy."""
    believed = {row: copy for row, copy in copies.items() if copy.added in added}
    if len(believed) < _LEAST_SHARE * len(images) or not believed:
        return None
    before = sorted({copy.added for copy in believed.values() if copy.before})
    behind = sorted({copy.added for copy in believed.values() if not copy.before})
    start = f"^(.*/)?{_any_of(before)}([^/]+?)" if before else "^(.+?)"
    expression = re.compile(rf"{start}{_any_of(behind)}(?:\.[^./]*)?$")
    found = [group_of(expression, image) for image in images]
    agrees = all(found[row] == group_of(expression, f"{copy.source}.x") for row, copy in believed.items())
    if not (all(found) and agrees):
        return None
    sources = len({copy.source for copy in believed.values()})
    what = f"{len(believed):,} of {len(images):,} images are named as copies of {sources:,} images"
    return Copies(expression.pattern, f"{what} ({_examples(before, behind)})")


def _any_of(added: Sequence[str]) -> str:
    if not added:
        return ""
    longest_first = sorted(added, key=lambda text: (-len(text), text))
    return f"(?:{'|'.join(re.escape(text).replace(_NUMBER, r'[0-9]+') for text in longest_first)})?"


def _examples(before: Sequence[str], behind: Sequence[str]) -> str:
    """Show up to four of what stands before names, and four of what stands behind them."""
    shown = [f"{text}NAME" for text in before[:4]] + [f"NAME{text}" for text in behind[:4]]
    more = len(before[4:]) + len(behind[4:])
    plain = "".join(sign if sign.isprintable() else "?" for sign in ", ".join(shown).replace(_NUMBER, "#"))
    return plain + (f" and {more} more" if more else "")


class _CopyName(NamedTuple):
    """The name of a copy, taken apart."""

    added: str
    """What was added to the name of the source, `_NUMBER` instead of digits."""
    before: bool
    """Whether it stands before that name, or behind it."""
    source: str
    """Path of the source without its suffix."""


def _stem_of(image: str) -> str:
    """Return an image path without its suffix."""
    folder, slash, name = image.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _copy_of(stem: str, there: Collection[str]) -> _CopyName | None:
    """Take a name apart so that what is left is the shortest name that is there, in the same folder.

    Args:
        stem: The path of an image without its suffix.
        there: Those of all images.
    """
    start = stem.rfind("/") + 1
    found: list[_CopyName] = []
    for sign in _SEPARATORS.finditer(stem, start):
        source = stem[: sign.start()]
        if source in there and _has_letter(added := stem[sign.start() :]):
            found.append(_CopyName(_numbered(added), False, source))
        source = stem[:start] + stem[sign.end() :]
        if source in there and _has_letter(added := stem[start : sign.end()]):
            found.append(_CopyName(_numbered(added), True, source))
    return min(found, key=lambda copy: len(copy.source), default=None)


def _has_letter(text: str) -> bool:
    return any(letter.isalpha() for letter in text)


def _stripped(stem: str) -> _CopyName | None:
    """Take a name apart at words that surely tell what was done to an image, whatever else is there."""
    start = stem.rfind("/") + 1
    signs = list(_SEPARATORS.finditer(stem, start))
    for sign in signs:
        added = _numbered(stem[sign.start() :])
        if sign.start() > start and _consists_of(added, _SURE):
            return _CopyName(added, False, stem[: sign.start()])
    for sign in reversed(signs):
        added = _numbered(stem[start : sign.end()])
        if sign.end() < len(stem) and _consists_of(added, _SURE):
            return _CopyName(added, True, stem[:start] + stem[sign.end() :])
    return None


def _is_known(added: str) -> bool:
    """Tell whether what is added to a name is what people and tools call what they do to images."""
    return _consists_of(added, _KNOWN)


def _consists_of(added: str, word: re.Pattern[str]) -> bool:
    parts = [part for part in _SEPARATORS.split(added.replace(_NUMBER, "1")) if part]
    known = [part for part in parts if word.fullmatch(part)]
    return bool(known) and all(part in known or _FILLER.fullmatch(part) for part in parts)


def _numbered(added: str) -> str:
    """Put `_NUMBER` for digits, so that `_aug1` and `_aug2` are the same."""
    return re.sub(r"\d+", _NUMBER, added)
