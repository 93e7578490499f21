"""Names of image files taken apart: what was added to say what was done to an image, and its own name."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

NUMBER = "\0"  # stands for digits in what is added to a name

_SIGNS = re.compile(r"[_\-. ()]+")
# What tools and people call what they did to an image; the first two kinds are hardly ever names of classes.
_TURN = r"(?:h|v|hor|vert|ud|lr)?(?:flip|mirr|mirror)(?:ped|ed)?(?:h|v|x|y|ud|lr)?|rot|rotated?|transposed?"
_COPY = r"aug|augm|augment|augmented|augmentation|copy|orig|original"
_OTHER = (
    r"turn|turned|crop|cropped|zoom|zoomed|scaled?|shift|shifted|shear|sheared|noise|noisy|blur|blurred|bright"
    r"|brightness|dark|contrast|colou?r|jitter|gamma|hue|sharp|sharpened|elastic|distorted|warp|warped|dup"
)
_SURE = re.compile(rf"(?:{_TURN}|{_COPY})\d*[hvxy]?", re.IGNORECASE)
_KNOWN = re.compile(rf"(?:{_TURN}|{_COPY}|{_OTHER})\d*[hvxy]?", re.IGNORECASE)
_FILLER = re.compile(r"\d+|[hvxy]|lr|ud|hor|horizontal|vert|vertical|left|right|deg|of|and", re.IGNORECASE)


class Copy(NamedTuple):
    """The name of a copy, taken apart."""

    added: str
    """What was added to the name of the source, `NUMBER` instead of digits."""
    before: bool
    """Whether it stands before that name, or behind it."""
    source: str
    """Path of the source without its suffix."""


def stem_of(image: str) -> str:
    """Return an image path without its suffix."""
    folder, slash, name = image.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def copy_of(stem: str, there: Collection[str]) -> Copy | None:
    """Take a name apart so that what is left is the shortest name that is there, in the same folder.

    Args:
        stem: The path of an image without its suffix.
        there: Those of all images.
    """
    start = stem.rfind("/") + 1
    found: list[Copy] = []
    for sign in _SIGNS.finditer(stem, start):
        source = stem[: sign.start()]
        if source in there and _has_letter(added := stem[sign.start() :]):
            found.append(Copy(numbered(added), False, source))
        source = stem[:start] + stem[sign.end() :]
        if source in there and _has_letter(added := stem[start : sign.end()]):
            found.append(Copy(numbered(added), True, source))
    return min(found, key=lambda copy: len(copy.source), default=None)


def stripped(stem: str) -> Copy | None:
    """Take a name apart at words that surely tell what was done to an image, whatever else is there."""
    start = stem.rfind("/") + 1
    signs = list(_SIGNS.finditer(stem, start))
    for sign in signs:
        added = numbered(stem[sign.start() :])
        if sign.start() > start and _consists_of(added, _SURE):
            return Copy(added, False, stem[: sign.start()])
    for sign in reversed(signs):
        added = numbered(stem[start : sign.end()])
        if sign.end() < len(stem) and _consists_of(added, _SURE):
            return Copy(added, True, stem[:start] + stem[sign.end() :])
    return None


def is_known(added: str) -> bool:
    """Tell whether what is added to a name is what people and tools call what they do to images."""
    return _consists_of(added, _KNOWN)


def numbered(added: str) -> str:
    """Put `NUMBER` for digits, so that `_aug1` and `_aug2` are the same."""
    return re.sub(r"\d+", NUMBER, added)


def _consists_of(added: str, word: re.Pattern[str]) -> bool:
    parts = [part for part in _SIGNS.split(added.replace(NUMBER, "1")) if part]
    known = [part for part in parts if word.fullmatch(part)]
    return bool(known) and all(part in known or _FILLER.fullmatch(part) for part in parts)


def _has_letter(text: str) -> bool:
    return any(letter.isalpha() for letter in text)
