"""The only module that writes artefacts: whole or not at all, and never executable.

A file is written under a temporary name in its own folder, synced, renamed, and the folder is synced: a crash
leaves either the old file or the new one. Contents are safetensors, strict JSON, CSV or ONNX bytes.
Optuna, TensorBoard and MLflow write their own journals and logs, from which no model is made.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ova.digests import digest_arrays, digest_json
from ova.errors import ArtefactError, EnvironmentFault

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray]


MAX_JSON_BYTES = 256 * 1024 * 1024
_SEALED = "ova"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically and durably.

    Raises:
        EnvironmentFault: The disk is full, read-only, or refuses for another reason.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise EnvironmentFault(_cannot_write(path, error)) from error


class Building:
    """A folder under construction; nothing of it is visible until `commit`."""

    def __init__(self, parent: Path) -> None:
        self.parent = parent
        self.path = parent / f".building.{os.getpid()}-{secrets.token_hex(4)}.tmp"

    def require(self, size: int) -> None:
        """Raise OSError if the disk has not this much room: better told now than hours later."""
        if size > (free := shutil.disk_usage(self.path).free):
            raise OSError(errno.ENOSPC, f"{size / 2**30:.1f} GiB are needed, {free / 2**30:.1f} GiB are free")

    def allocate(self, name: str, size: int) -> Path:
        """Make a file of zeros, to be filled in any order with `fill_file`."""
        with (self.path / name).open("xb") as file:
            file.truncate(size)
        return self.path / name

    def add(self, name: str, content: bytes) -> None:
        """Write a file, which may lie in folders below; `commit` makes it durable, with all others."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)

    def commit(self, name: str) -> Path:
        """Sync everything and give the folder its name.

        An existing folder of that name wins: names are digests of the content, so it holds the same.
        """
        final = self.parent / name
        for place in self.path.rglob("*"):
            (_sync_folder if place.is_dir() else _sync_file)(place)
        _sync_folder(self.path)
        try:
            self.path.rename(final)
        except OSError:
            if not final.is_dir():
                raise
        _sync_folder(self.parent)
        return final


@contextmanager
def building_folder(parent: Path) -> Iterator[Building]:
    """Fill a folder out of sight and commit it whole; what was not committed is removed.

    Raises:
        EnvironmentFault: The disk is full, read-only, or refuses for another reason.
    """
    building = Building(parent)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        building.path.mkdir()
        yield building
    except OSError as error:
        raise EnvironmentFault(_cannot_write(parent, error)) from error
    finally:
        shutil.rmtree(building.path, ignore_errors=True)


def fill_file(path: Path, start: int, array: np.ndarray) -> None:
    """Put an array into a file of `Building.allocate`, `start` bytes in; EnvironmentFault if that fails."""
    try:
        with path.open("r+b") as file:
            file.seek(start)
            file.write(array.data)
    except OSError as error:
        raise EnvironmentFault(_cannot_write(path, error)) from error


def write_json(path: Path, value: object) -> None:
    """Write strict JSON (UTF-8, two-space indent). NaN and infinity raise ValueError: they are bugs."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read strict JSON.

    Raises:
        ArtefactError: Missing, too large, not JSON, or holding NaN or infinity.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ArtefactError(f"{path} is larger than {MAX_JSON_BYTES} bytes; it is not a file of ova")
        return json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} is missing") from error
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror or error}") from error


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV table with a header. None becomes an empty cell, floats keep every digit."""
    write_bytes(path, csv_bytes(header, rows))


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Render a CSV table (UTF-8, commas, line feeds)."""
    return "".join(csv_lines(chain([header], rows))).encode()


def csv_lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Render the rows of a CSV table one by one, as `csv_bytes` does."""
    line = _Line()
    # What ends a line is quoted in a cell: both characters, for any reader.
    writer = csv.writer(line, lineterminator="\r\n")
    for row in rows:
        writer.writerow(row)
        yield line.text.removesuffix("\r\n") + "\n"


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV table written by `write_csv`, every cell as text.

    Raises:
        ArtefactError: Missing, not UTF-8, or a ragged row.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} is missing") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ArtefactError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror or error}") from error
    if any(None in row or None in row.values() for row in rows):
        raise ArtefactError(f"{path} is damaged: a row has too few or too many cells")
    return rows


def write_tensors(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> str:
    """Write named arrays as safetensors and return the digest of their content (`digest_arrays`).

    The same content gives the same bytes: all metadata goes under one key, because the format keeps no order
    among several.
    """
    import numpy as np
    from safetensors.numpy import save

    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    values = {**(metadata or {}), "digest": digest_arrays(ordered)}
    sealed = json.dumps({"values": values, "seal": digest_json(values)}, sort_keys=True)
    write_bytes(path, save(ordered, metadata={_SEALED: sealed}))
    return values["digest"]


def read_tensors(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Read named arrays and metadata written by `write_tensors`, and check both.

    Raises:
        ArtefactError: Missing, not safetensors, not written by `ova`, or damaged in any byte.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            sealed = json.loads((file.metadata() or {})[_SEALED])
            values, seal = dict(sealed["values"]), sealed["seal"]
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} is missing") from error
    except (KeyError, TypeError, ValueError, OSError, RecursionError, SafetensorError) as error:
        raise ArtefactError(f"{path} is damaged, or not written by ova: {error}") from error
    if seal != digest_json(values) or values.get("digest") != digest_arrays(arrays):
        raise ArtefactError(f"{path} is damaged: its content no longer matches its digest")
    return arrays, values


class _Line:
    def write(self, text: str) -> None:
        self.text = text


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write {path}: {error.strerror or error}; free space or choose another disk"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder; its rename is durable through the journal
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
