"""The table of URLs of `ova data fetch`: what is wanted, where it goes, and how it is known to be right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from ova.data.files.read import IMAGE_SUFFIXES
from ova.data.paths import safe_relative
from ova.data.tables.sheet import Sheet
from ova.errors import DataError, first_few

URL, IMAGE, CHECKSUM = "url", "image", "sha256"


class UrlRow(NamedTuple):
    """One row of the table of URLs."""

    row: int
    url: str
    image: str | None
    """Path to store it under; named after the URL if None."""
    checksum: str | None
    """SHA-256 of the file, in hexadecimal."""


def read_url_rows(sheet: Sheet) -> list[UrlRow]:
    """Check a table of URLs.

    Raises:
        DataError: There is no column `url`, or a URL, path or checksum is wrong, or two URLs share a path.
    """
    urls = [cell.strip() for cell in sheet.column(URL)]
    blank = [""] * len(urls)
    images = [cell.strip() for cell in sheet.columns.get(IMAGE, blank)]
    checksums = [cell.strip().lower() for cell in sheet.columns.get(CHECKSUM, blank)]
    wanted = []
    problems: dict[str, list[int]] = defaultdict(list)
    urls_of: dict[str, str] = {}
    for row, (url, image, checksum) in enumerate(zip(urls, images, checksums, strict=True)):
        for problem in _problems(url, image, checksum):
            problems[problem].append(row)
        if image and urls_of.setdefault(image, url) != url:
            problems["two URLs for one image"].append(row)
        wanted.append(UrlRow(row, url, image or None, checksum or None))
    if problems:
        told = [f"{problem} {sheet.rows(rows)}" for problem, rows in problems.items()]
        raise DataError(f"{sheet.path}: {first_few(told)}; correct the table")
    return wanted


def _problems(url: str, image: str, checksum: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        yield "no http or https URL"
    if image:
        try:
            if not safe_relative(image).lower().endswith(IMAGE_SUFFIXES):
                yield f"an image path that does not end in {', '.join(IMAGE_SUFFIXES)}"
        except DataError:
            yield "an image path that leaves the folder"
    if checksum and (len(checksum) != 64 or set(checksum) - set("0123456789abcdef")):
        yield "a sha256 that is not 64 hexadecimal digits"
