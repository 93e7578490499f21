from __future__ import annotations

import csv
import errno
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from ova import storage
from ova.digests import digest_arrays, digest_file, digest_json
from ova.errors import ArtefactError, EnvironmentFault
from ova.storage import (
    building_folder,
    csv_bytes,
    fill_file,
    read_csv,
    read_json,
    read_tensors,
    write_bytes,
    write_csv,
    write_json,
    write_tensors,
)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full_disk(*_arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


# Whole or not at all


def test_bytes_are_written_into_new_folders_and_replace_what_was_there(tmp_path):
    path = tmp_path / "a" / "b" / "file.bin"
    for content in (b"old", b"", b"new" * 1000):
        write_bytes(path, content)
        assert path.read_bytes() == content
    assert names_in(path.parent) == ["file.bin"]


@pytest.mark.parametrize("function", ["os.fsync", "pathlib.Path.replace"])
def test_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch, function):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(function, full_disk)
        with pytest.raises(EnvironmentFault, match="No space left on device; free space") as caught:
            write_bytes(path, b"new")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file.bin"]


def test_file_is_synced_before_it_gets_its_name_and_the_folder_after(tmp_path, monkeypatch):
    steps = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor):
        steps.append(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def replaced(self, target):
        steps.append("rename")
        return replace(self, target)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to see what is synced")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_bytes(tmp_path / "file.bin", b"content")
    first, second, third = steps
    assert Path(first).parent == tmp_path.resolve()
    assert Path(first).name.startswith(".file.bin.")
    assert (second, third) == ("rename", str(tmp_path.resolve()))


def test_file_in_the_place_of_a_folder_is_an_environment_fault(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_bytes(tmp_path / "file" / "child", b"new")
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_bytes(tmp_path / "folder", b"new")
    assert names_in(tmp_path) == ["file", "folder"]


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from ova.errors import EnvironmentFault
import numpy as np
from ova.storage import building_folder, fill_file, write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_bytes(folder / "file.bin", b"n" * 9000)
    except EnvironmentFault:
        assert limit < 9000, limit
    else:
        assert limit >= 9000, limit
    try:
        with building_folder(folder) as building:
            fill_file(building.allocate("pixels.bin", 9000), 0, np.ones((3, 3000), np.uint8))
    except EnvironmentFault:
        assert limit < 9000, limit
    else:
        assert limit >= 9000, limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (folder / "file.bin").read_bytes() == (b"old" if limit < 9000 else b"n" * 9000), limit
    assert [path.name for path in folder.iterdir()] == ["file.bin"], limit
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file sizes are tested on Linux")
def test_disk_that_fills_up_at_any_byte_leaves_the_old_file(tmp_path):
    write_bytes(tmp_path / "file.bin", b"old")
    limits = map(str, (0, 1, 4095, 4096, 8999, 9000))
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path), *limits], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


# Folders


def test_folder_appears_whole(tmp_path):
    with building_folder(tmp_path / "store") as building:
        write_bytes(building.path / "a.bin", b"a")
        file = building.allocate("pixels.bin", 15)
        assert file.read_bytes() == bytes(15)
        fill_file(file, 5, np.full((1, 5), 7, np.uint8))
        assert all(name.startswith(".") for name in names_in(tmp_path / "store"))
        final = building.commit("name")
    assert final == tmp_path / "store" / "name"
    assert names_in(tmp_path / "store") == ["name"]
    assert names_in(final) == ["a.bin", "pixels.bin"]
    assert (final / "pixels.bin").read_bytes() == bytes(5) + bytes([7] * 5) + bytes(5)


def test_a_file_that_does_not_fit_is_told_before_it_is_filled(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("ova.storage.shutil.disk_usage", lambda path: usage._replace(free=2**30))
    with building_folder(tmp_path) as building:
        building.require(2**30)
    refused = pytest.raises(EnvironmentFault, match=r"2\.0 GiB are needed, 1\.0 GiB are free; free space")
    with refused, building_folder(tmp_path) as building:
        building.require(2**31)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_folder_that_is_not_finished_disappears(tmp_path, error):
    def build():
        with building_folder(tmp_path / "store") as building:
            write_bytes(building.path / "a.bin", b"a")
            raise error

    with pytest.raises(EnvironmentFault if error is OSError else error):
        build()
    assert names_in(tmp_path / "store") == []


def test_files_are_added_below_a_folder_once_each(tmp_path):
    with building_folder(tmp_path) as building:
        building.add("deep/er/ü.bin", b"one")
        building.add("top.bin", b"two")
        with pytest.raises(FileExistsError):
            building.add("top.bin", b"three")
        assert names_in(tmp_path) == [building.path.name]
        building.commit("name")
    assert (tmp_path / "name" / "deep/er/ü.bin").read_bytes() == b"one"
    assert (tmp_path / "name" / "top.bin").read_bytes() == b"two"
    assert names_in(tmp_path) == ["name"]


def test_every_file_below_is_synced_before_the_folder_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(storage, "_sync_file", lambda path: synced.append(path.name))
    with building_folder(tmp_path) as building:
        building.add("deep/er/a.bin", b"one")
        building.add("b.bin", b"two")
        building.commit("name")
    assert sorted(synced) == ["a.bin", "b.bin"]


def test_folder_that_somebody_else_finished_first_is_kept(tmp_path):
    with building_folder(tmp_path) as one, building_folder(tmp_path) as other:
        write_bytes(one.path / "a.bin", b"one")
        write_bytes(other.path / "a.bin", b"other")
        assert one.commit("name") == other.commit("name")
    assert (tmp_path / "name" / "a.bin").read_bytes() == b"one"
    assert names_in(tmp_path) == ["name"]


# JSON


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES.filter(lambda value: "\\ud" not in json.dumps(value)))
@settings(max_examples=60, deadline=None)
def test_json_comes_back(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value
    assert json.loads(path.read_text(encoding="utf-8")) == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_no_number_both_ways(tmp_path, number):
    path = tmp_path / "value.json"
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"f1": [number]})
    assert not path.exists()
    path.write_text(json.dumps({"f1": [number]}))
    with pytest.raises(ArtefactError, match=r"value\.json is damaged: -?(NaN|Infinity) is not JSON"):
        read_json(path)
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_json([number])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1} x', b"[" * 100_000, b"'a'"])
def test_damaged_json_is_refused(tmp_path, content):
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="is damaged") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_missing_and_huge_json(tmp_path, monkeypatch):
    with pytest.raises(ArtefactError, match="is missing"):
        read_json(tmp_path / "none.json")
    monkeypatch.setattr(storage, "MAX_JSON_BYTES", 10)
    write_json(tmp_path / "value.json", "a long text")
    with pytest.raises(ArtefactError, match="larger than 10 bytes"):
        read_json(tmp_path / "value.json")


# CSV


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.floats()), max_size=5
    )
)
@settings(max_examples=60, deadline=None)
def test_csv_comes_back_with_every_digit(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "table.csv"
    write_csv(path, ("name", "value"), rows)
    back = read_csv(path)
    assert [row["name"] for row in back] == [name for name, _ in rows]
    np.testing.assert_array_equal([float(row["value"]) for row in back], [value for _, value in rows])
    with path.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == 1 + len(rows)


def test_csv_bytes():
    assert csv_bytes(("a", "b"), [(1, None), ("x,y", 0.1)]) == b'a,b\n1,\n"x,y",0.1\n'


@pytest.mark.parametrize(
    "text", ["a,b\n1\n", "a,b\n1,2,3\n", "a,b\n1,2\n3\n", 'a,b\n"1,2\n', 'a,b\n"1"x,2\n']
)
def test_ragged_or_broken_csv_is_refused(tmp_path, text):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ArtefactError, match="is damaged") as caught:
        read_csv(tmp_path / "table.csv")
    assert "\n" not in str(caught.value)


def test_missing_and_foreign_csv_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match="is missing"):
        read_csv(tmp_path / "none.csv")
    (tmp_path / "table.csv").write_bytes(b"a,b\n\xff,1\n")
    with pytest.raises(ArtefactError, match="is damaged"):
        read_csv(tmp_path / "table.csv")


# Tensors


ARRAYS = {
    "scalar": np.float32(1.5),
    "zero": np.array(7, np.int64),
    "empty": np.zeros((0, 3), np.float32),
    "turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "bytes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "flags": np.array([True, False]),
    "special": np.array([np.nan, np.inf, -0.0], np.float32),
}


def test_tensors_keep_shapes_types_and_bits(tmp_path):
    path = tmp_path / "head.safetensors"
    digest = write_tensors(path, ARRAYS, {"note": "text"})
    arrays, metadata = read_tensors(path)
    assert metadata == {"note": "text", "digest": digest}
    assert arrays.keys() == load_file(path).keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        expected = np.asarray(array)
        for back in (arrays[name], load_file(path)[name]):
            assert (back.shape, back.dtype) == (expected.shape, expected.dtype), name
            assert back.tobytes() == expected.tobytes(), name
    assert digest == digest_arrays({name: np.asarray(array) for name, array in ARRAYS.items()})


def test_any_flipped_byte_of_a_file_is_seen(tmp_path):
    path = tmp_path / "head.safetensors"
    weights = np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32)
    write_tensors(path, {"a": weights, "b": np.zeros(3, np.int64)})
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    data = range(header, len(content))
    positions = [*range(8), *range(8, header, 2), *data[::5], len(content) - 1]
    for position in positions:
        damaged = bytearray(content)
        damaged[position] ^= 0x04
        path.write_bytes(damaged)
        with pytest.raises(ArtefactError, match="is damaged") as caught:
            read_tensors(path)
        assert "\n" not in str(caught.value), position


@pytest.mark.parametrize(
    "content", [b"", b"x" * 100, (2**40).to_bytes(8, "little") + b"{}", b"\x02" + bytes(7) + b"{}"]
)
def test_file_that_is_not_a_sealed_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / "head.safetensors"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="is damaged, or not written by ova"):
        read_tensors(path)


def test_missing_tensors_and_those_cut_short(tmp_path):
    with pytest.raises(ArtefactError, match="is missing"):
        read_tensors(tmp_path / "none.safetensors")
    path = tmp_path / "head.safetensors"
    write_tensors(path, {"a": np.ones(10)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtefactError, match="is damaged"):
        read_tensors(path)


# Digests


def test_digest_of_arrays_sees_names_types_shapes_and_bytes_but_not_order():
    one, two = np.arange(6, dtype=np.int32), np.ones(2, np.float32)
    digests = [
        digest_arrays(arrays)
        for arrays in (
            {"a": one, "b": two},
            {"b": one, "a": two},
            {"a": one},
            {"a": one.reshape(2, 3), "b": two},
            {"a": one.astype(np.int64), "b": two},
            {"a": one.view(np.float32), "b": two},
            {"a": one[::-1], "b": two},
            {},
        )
    ]
    assert len(set(digests)) == len(digests)
    assert digest_arrays({"b": two, "a": one}) == digests[0]
    assert digest_arrays({"a": np.asfortranarray(one.reshape(2, 3)), "b": two}) == digests[3]


def test_digest_of_json_does_not_see_the_order_of_keys():
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json({"a": 1, "b": [1, 2]}) != digest_json({"a": 1, "b": [2, 1]})
    assert digest_json(1) != digest_json(1.0)


def test_digest_of_a_file_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert digest_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    for read in (storage.read_json, storage.read_csv, storage.read_tensors):
        with pytest.raises(ArtefactError):
            read(tmp_path)


@pytest.mark.parametrize("values", ["[1]", '"text"', "null", "[" * 100_000])
def test_a_crafted_seal_is_refused(tmp_path: Path, values: str) -> None:
    from safetensors.numpy import save

    path = tmp_path / "crafted.safetensors"
    sealed = f'{{"values": {values}, "seal": "x"}}'
    path.write_bytes(save({"a": np.zeros(2, np.float32)}, metadata={"ova": sealed}))
    with pytest.raises(ArtefactError):
        storage.read_tensors(path)
