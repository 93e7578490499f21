"""Fetch the images of a table of URLs into a folder, with a label table that `ova init` reads."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ova.data.fetch.download import Host, open_client
from ova.data.fetch.url_table import CHECKSUM, IMAGE, URL, UrlRow, read_url_rows
from ova.data.files.read import MAX_IMAGE_BYTES
from ova.data.images.decode import decode_image
from ova.data.paths import inside_root
from ova.data.tables.sheet import Sheet, read_sheet
from ova.digests import digest_file
from ova.errors import DataError, RecipeError
from ova.progress import Progress, Silent, never
from ova.storage import write_bytes, write_csv

if TYPE_CHECKING:
    import httpx


LABELS_FILE, REPORT_FILE = "labels.csv", "fetched.csv"
HOSTS_AT_ONCE = 8
_JPEG = b"\xff\xd8"


class Fetched(NamedTuple):
    """What became of one row."""

    url: str
    image: str | None
    bytes: int
    sha256: str | None
    state: str
    """"fetched", "kept" (it was there), "refused", or "not yet"."""
    problem: str | None = None


@dataclass(frozen=True)
class FetchReport:
    """What became of every row, and the files that say so."""

    folder: Path
    results: Sequence[Fetched]
    labels: Path | None
    """The label table of the images that are there; None if the table of URLs had no other columns."""

    @property
    def files(self) -> list[Path]:
        """What was written beside the images, the report last."""
        return [*([self.labels] if self.labels else []), self.folder / REPORT_FILE]

    @property
    def failed(self) -> list[Fetched]:
        """Rows without an image."""
        return [result for result in self.results if result.state in ("refused", "not yet")]

    def counts(self) -> dict[str, int]:
        """Return rows by state."""
        states = [result.state for result in self.results]
        return {state: states.count(state) for state in ("fetched", "kept", "refused", "not yet")}

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {
            "folder": str(self.folder),
            "labels": str(self.labels) if self.labels else None,
            "counts": self.counts(),
            "images": [result._asdict() for result in self.results],
        }


def fetch_images(
    table: Path,
    folder: Path,
    *,
    pause: float = 0.5,
    max_total: int = 64 * 2**30,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = never,
) -> FetchReport:
    """Download the images that a table names; those that are there already are kept.

    The table has a column `url`, and may have `image` (where to store it, below `folder`), `sha256`, and any
    label columns, which become `labels.csv` beside the images. Every image is decoded in full before it is
    stored, and stored whole or not at all, so that the same command goes on where it was interrupted.

    Args:
        table: The table of URLs.
        folder: Where images go; made if it does not exist.
        pause: Seconds between two requests to one host, which is never asked two things at once.
        max_total: Most bytes that are downloaded in all.
        progress: Told after every image.
        should_stop: Asked before every image.

    Raises:
        DataError: The table is refused; nothing is downloaded.
        EnvironmentFault: httpx is missing, or the folder cannot be written.
        RecipeError: The pause is negative.
    """
    if pause < 0:
        raise RecipeError(f"the pause is {pause} s; give 0 or more")
    progress = progress or Silent()
    sheet = read_sheet(table, "auto", least_columns=1)
    wanted = read_url_rows(sheet)
    results: dict[int, Fetched] = {}
    progress.start("fetching images", len(wanted))
    with open_client() as client:
        task = _Fetching(folder, client, pause, max_total, should_stop)
        for result, row in task.run(wanted):
            results[row] = result
            progress.advance("fetching images", len(results))
    ordered = [results[each.row] for each in wanted]
    write_csv(folder / REPORT_FILE, Fetched._fields, ordered)
    return FetchReport(folder, ordered, _write_labels(folder, sheet, results))


@dataclass
class _Fetching:
    """One run: hosts side by side, the URLs of one host one after the other."""

    folder: Path
    client: httpx.Client
    pause: float
    left: int
    should_stop: Callable[[], bool]
    _lock: Lock = field(default_factory=Lock)

    def run(self, wanted: Sequence[UrlRow]) -> Iterator[tuple[Fetched, int]]:
        """Yield (result, row) as they come."""
        queues: dict[str, list[UrlRow]] = defaultdict(list)
        for each in wanted:
            queues[urlsplit(each.url).netloc].append(each)
        done: SimpleQueue[tuple[Fetched, int] | Exception] = SimpleQueue()

        def work_off(queue: list[UrlRow]) -> None:
            host = Host(self.client, self.pause, self._sleep)
            try:
                for each in queue:
                    done.put(self._one(host, each))
            except Exception as error:  # told in the thread that waits, which would else wait for ever
                done.put(error)

        with ThreadPoolExecutor(HOSTS_AT_ONCE) as pool:
            for queue in queues.values():
                pool.submit(work_off, queue)
            for _ in wanted:
                result = done.get()
                if isinstance(result, Exception):
                    self.left = 0  # the other hosts have nothing more to do
                    raise result
                yield result

    def _sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the user asks to stop."""
        end = time.monotonic() + seconds
        while not self.should_stop() and (left := end - time.monotonic()) > 0:
            time.sleep(min(0.1, left))

    def _one(self, host: Host, wanted: UrlRow) -> tuple[Fetched, int]:
        try:
            kept = self._kept(wanted)
            if kept is not None:
                return kept, wanted.row
            if self.should_stop():
                return Fetched(wanted.url, wanted.image, 0, None, "not yet", "interrupted"), wanted.row
            return self._download(host, wanted), wanted.row
        except DataError as error:
            return Fetched(wanted.url, wanted.image, 0, None, "refused", str(error)), wanted.row

    def _kept(self, wanted: UrlRow) -> Fetched | None:
        """Find an image of an earlier run; one that does not match its checksum is fetched again."""
        names = (
            [wanted.image] if wanted.image else [_name_of(wanted.url, suffix) for suffix in (".jpg", ".png")]
        )
        for name in names:
            path = inside_root(self.folder, name)
            if path.is_file():
                digest = digest_file(path)
                if wanted.checksum in (None, digest):
                    return Fetched(wanted.url, name, path.stat().st_size, digest, "kept")
        return None

    def _download(self, host: Host, wanted: UrlRow) -> Fetched:
        if self.left <= 0:
            raise DataError("the total size is reached; raise --max-total")
        content = host.download(wanted.url, min(MAX_IMAGE_BYTES, self.left))
        with self._lock:
            self.left -= len(content)
        digest = hashlib.sha256(content).hexdigest()
        if wanted.checksum not in (None, digest):
            raise DataError(f"its sha256 is {digest}, not that of the table; correct the table or the URL")
        _check_image(content)
        name = wanted.image or _name_of(wanted.url, ".jpg" if content.startswith(_JPEG) else ".png")
        write_bytes(inside_root(self.folder, name), content)
        return Fetched(wanted.url, name, len(content), digest, "fetched")


def _check_image(content: bytes) -> None:
    try:
        decode_image(content, channels=3)
    except DataError as error:
        raise DataError(str(error).removeprefix("image bytes: ")) from error


def _name_of(url: str, suffix: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:24] + suffix


def _write_labels(folder: Path, sheet: Sheet, results: Mapping[int, Fetched]) -> Path | None:
    """Write the label table of the images that are there."""
    columns = [name for name in sheet.columns if name not in (URL, IMAGE, CHECKSUM)]
    if not columns:
        return None
    cells = [sheet.column(name) for name in columns]
    there = [row for row in sorted(results) if results[row].state in ("fetched", "kept")]
    rows = ([results[row].image, *(column[row] for column in cells)] for row in there)
    write_csv(folder / LABELS_FILE, [IMAGE, *columns], rows)
    return folder / LABELS_FILE
