"""How an image path is named safely: relative, inside its root, and no device."""

from __future__ import annotations

import re
from pathlib import Path

from ova.errors import DataError

# What breaks a line or steers a terminal, and no path needs.
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
# Names that are devices on Windows in every folder and with any suffix.
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\xb9\xb2\xb3]) *(?:[.:].*)?", re.IGNORECASE
)
# A path that is not already plain: backslash, control sign, leading slash, drive, an empty, `.` or `..` part,
# or a part that begins like the name of a device.
_SUSPECT = re.compile(
    rf"\\|{_CONTROL.pattern}|^[A-Za-z]:|(?:^|/)(?:\.{{0,2}}(?:/|$)|(?i:con|prn|aux|nul|com|lpt))"
)


def safe_relative(text: str) -> str:
    r"""Turn the text of a table into a POSIX path that cannot leave the folder it is joined to.

    Backslashes count as separators, so that a table from Windows works and `..\` hides nowhere.

    Raises:
        DataError: Empty, absolute, with a drive, a control sign, a `..` part, or the name of a device.
    """
    if not _SUSPECT.search(text):
        return text
    path = text.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        raise DataError("the image path is empty; give a path relative to the image root")
    if _CONTROL.search(path):
        raise DataError(f"the image path {text!r} has a control character; rename the file")
    if path.startswith("/") or ".." in parts or re.match("[A-Za-z]:", parts[0]):
        raise DataError(f"the image path {text!r} leaves the image root; give a path relative to it")
    if devices := [part for part in parts if is_device(part)]:
        raise DataError(f"the image path {text!r} names {devices[0]!r}, a device on Windows; rename it")
    return "/".join(parts)


def is_device(name: str) -> bool:
    """Tell whether Windows takes the name of a file for a device, as it does with `nul.png` in any folder."""
    return _DEVICE.fullmatch(name) is not None


def inside_root(root: Path, image: str) -> Path:
    """Return the file of an image, which must lie under the image root once symbolic links are followed.

    The root itself may be a link, and links within it may lead elsewhere within it.

    Raises:
        DataError: The path leaves the root, by its text or through a link.
    """
    path = root / safe_relative(image)
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # a loop of links
        raise DataError(f"{path}: its links lead nowhere; replace it by the file") from error
    if not inside:
        raise DataError(f"{path}: is a link out of the image root; replace it by the file, or correct root")
    return path
