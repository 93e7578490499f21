"""Arrows between modules, and what no module may do, read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ova

PACKAGE = Path(ova.__file__).parent
# What a layer may use: itself and the layers below it. Modules directly in ova/ stand by their own name; those
# that are not named here belong to the command line.
LAYERS = [
    {"cli", "demo", "__main__"},
    {"analysis", "scaffold"},
    {"ensembles"},
    {"heads"},
    {"data"},
    {"arrays", "recipes", "metrics", "storage", "spreadsheets", "digests", "workspace", "errors", "progress"},
]
WRITER = "ova.storage"
# The one module that may open a pickle, in one call: of bytes whose SHA-256 it knows (decision 0007).
PINNED = "ova.heads.network.packages"
PINNED_CALL = "torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)"

BANNED_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
    "yaml",
    "ruamel",
}
BANNED_CALLS = {"eval", "exec", "compile", "__import__"}
BANNED_ATTRIBUTES = {("torch", "load"), ("joblib", "load"), ("joblib", "dump")}
WRITING_METHODS = {"write_bytes", "write_text", "tofile", "to_csv", "to_parquet", "touch"}
# These write into memory too, which is seen by what their argument was made from; a training state's `save`
# goes through storage.
SAVING_METHODS = {"save", "savefig"}
SAVES_THROUGH_STORAGE = {"state.save"}
WRITING_CALLS = {
    ("np", "save"),
    ("np", "savez"),
    ("np", "savez_compressed"),
    ("np", "savetxt"),
    ("numpy", "save"),
    ("torch", "save"),
    ("onnx", "save"),
    ("onnx", "save_model"),
    ("json", "dump"),
    ("os", "replace"),
    ("os", "rename"),
    ("shutil", "copy"),
    ("shutil", "copyfile"),
    ("shutil", "move"),
}


def module_name(path: Path) -> str:
    parts = ("ova", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
EVERY_MODULE = pytest.mark.parametrize("module", SOURCES)


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text(encoding="utf-8"))


def layer_of(module: str) -> int:
    part = module.split(".")[1]
    return next((level for level, names in enumerate(LAYERS) if part in names), 0)


def nodes_of(tree: ast.AST, *, at_import: bool) -> Iterator[ast.AST]:
    """All nodes; or only those that run when the module is imported."""
    if not at_import:
        yield from ast.walk(tree)
        return
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from nodes_of(child, at_import=True)


def imports_of(tree: ast.AST, *, at_import: bool = False) -> Iterator[str]:
    """Names of imported modules; `from a import b` is a.b where that is a module."""
    for node in nodes_of(tree, at_import=at_import):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in SOURCES else str(node.module)


def through_a_package(tree: ast.AST) -> list[str]:
    """Names of `ova` that are taken from a package instead of from the module that defines them."""
    packages = {module for module, path in SOURCES.items() if path.name == "__init__.py"}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in packages:
            names = {f"{node.module}.{name.name}": name.name for name in node.names}
            found += [full for full, name in names.items() if full not in SOURCES and name != "__version__"]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ova":
            found += [f"ova.{node.attr}"] if node.attr != "__version__" else []
    return found


def writing(tree: ast.AST) -> list[str]:
    """Calls that write a file."""
    made = re.findall(r"(?:(\w+) = io\.BytesIO\(\)|io\.BytesIO\(\) as (\w+))", ast.unparse(tree))
    in_memory = {name for names in made for name in names}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Attribute):
            owner = ast.unparse(function.value).split(".")[-1]
            text = ast.unparse(function)
            saved = [argument.id for argument in node.args if isinstance(argument, ast.Name)]
            saves = function.attr in SAVING_METHODS and not in_memory & set(saved)
            saves = saves and text not in SAVES_THROUGH_STORAGE
            if saves or function.attr in WRITING_METHODS or (owner, function.attr) in WRITING_CALLS:
                found.append(text)
        if ast.unparse(function).endswith("memmap"):
            found += [ast.unparse(node)] if "'r'" not in map(ast.unparse, node.args) else []
        method = isinstance(function, ast.Attribute) and function.attr == "open"
        if method or (isinstance(function, ast.Name) and function.id == "open"):
            place = 0 if method else 1
            modes = [
                *node.args[place : place + 1],
                *(key.value for key in node.keywords if key.arg == "mode"),
            ]
            if any(set(ast.unparse(mode)) & set("wax+") for mode in modes):
                found.append(ast.unparse(node))
    return found


def banned(tree: ast.AST) -> list[str]:
    """Names of what may run code from a file, or that stand for it."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names]
            )
            found += [name for name in modules if name.split(".")[0] in BANNED_MODULES]
            if isinstance(node, ast.ImportFrom):
                found += [
                    f"{node.module}.{name.name}"
                    for name in node.names
                    if (node.module, name.name) in BANNED_ATTRIBUTES
                ]
        elif isinstance(node, ast.Name) and node.id in BANNED_CALLS:
            found.append(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            pair = (node.value.id, node.attr)
            if pair in BANNED_ATTRIBUTES or node.value.id in BANNED_MODULES:
                found.append(".".join(pair))
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.append("allow_pickle")
    return found


# The package


def test_layers_are_those_of_the_package():
    assert {module.split(".")[1] for module in SOURCES if module != "ova"} >= set.union(*LAYERS)
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == {"cli"} | set.union(*LAYERS[1:5])
    assert (
        layer_of("ova.cli.app")
        < layer_of("ova.heads.training.train")
        < layer_of("ova.data.images.store")
        < layer_of("ova.errors")
    )


@EVERY_MODULE
def test_arrows_point_down(module):
    used = {name for name in imports_of(tree_of(module)) if name.startswith("ova.")}
    assert used <= SOURCES.keys()
    if module == "ova":  # its names are loaded when they are first used
        assert not [name for name in imports_of(tree_of(module), at_import=True) if name.startswith("ova")]
        return
    upward = [name for name in used if layer_of(name) < layer_of(module)]
    assert not upward


def test_lowest_layer_stands_on_errors_and_digests_alone():
    for module in SOURCES:
        if module != "ova" and layer_of(module) == len(LAYERS) - 1:
            used = {name for name in imports_of(tree_of(module)) if name.startswith("ova.")}
            assert used <= {"ova.arrays", "ova.errors", "ova.digests"}, module


def test_no_cycle_when_modules_are_imported():
    arrows = {
        module: {name for name in imports_of(tree_of(module), at_import=True) if name in SOURCES} - {"ova"}
        for module in SOURCES
    }
    assert arrows["ova.data.dataset"] >= {"ova.data.split.split", "ova.data.source"}
    left = dict(arrows)
    while free := [module for module, used in left.items() if not used & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"in or before a cycle: {sorted(left)}"


def place_of(module: str) -> str:
    """The folder of a module, or the module itself where it stands beside folders."""
    folder, _, _ = module.rpartition(".")
    beside = any(other.startswith(folder + ".") and other.count(".") > module.count(".") for other in SOURCES)
    return module if beside else folder


def test_no_two_folders_import_each_other():
    arrows: dict[str, set[str]] = {}
    for module in SOURCES:
        used = {name for name in imports_of(tree_of(module)) if name in SOURCES} - {"ova"}
        if module != "ova":
            places = arrows.setdefault(place_of(module), set())
            places |= {place_of(name) for name in used} - {place_of(module)}
    assert arrows["ova.data.images"] >= {"ova.data.files"}
    left = dict(arrows)
    while free := [place for place, used in left.items() if not used & left.keys()]:
        for place in free:
            del left[place]
    assert not left, f"in or before a cycle of folders: {sorted(left)}"


def test_a_folder_holds_at_most_sixteen_modules():
    folders = {path.parent for path in SOURCES.values()}
    crowded = {str(folder): len(list(folder.glob("[!_]*.py"))) for folder in folders}
    assert not {folder: count for folder, count in crowded.items() if count > 16}


@EVERY_MODULE
def test_a_module_has_at_most_350_lines(module):
    assert len(SOURCES[module].read_text(encoding="utf-8").splitlines()) <= 350


def test_a_public_name_has_one_meaning():
    """A command has the name of the function that it calls, so the command line may say a name again."""
    homes: dict[str, set[str]] = {}
    for module in SOURCES:
        if not module.startswith("ova.cli."):
            for node in tree_of(module).body:
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
                names = {getattr(target, "id", getattr(target, "name", "_")) for target in targets}
                for name in names:
                    homes.setdefault(name, set()).add(module)
    assert homes["FloatArray"] == {"ova.arrays"}
    assert homes["calibrate_scores"] == {"ova.heads.calibration.calibrate_scores"}
    twice = {name: sorted(where) for name, where in homes.items() if len(where) > 1 and name[0] != "_"}
    assert not twice


@EVERY_MODULE
def test_names_come_from_the_module_that_defines_them(module):
    if module != "ova":
        assert through_a_package(tree_of(module)) == []


@EVERY_MODULE
def test_only_storage_writes(module):
    found = writing(tree_of(module))
    if module == WRITER:
        assert any(".open('xb')" in call for call in found)
    else:
        assert found == []


@EVERY_MODULE
def test_nothing_that_could_run_code_from_a_file(module):
    assert banned(tree_of(module)) == (["torch.load"] if module == PINNED else [])


def test_the_one_pickle_is_opened_from_bytes_that_were_checked():
    nodes = [node for node in ast.walk(tree_of(PINNED)) if isinstance(node, ast.FunctionDef)]
    (reader,) = (node for node in nodes if "torch.load" in ast.unparse(node))
    lines = [ast.unparse(line) for line in reader.body]
    (call,) = (number for number, line in enumerate(lines) if "torch.load" in line)
    assert lines[call] == f"state = {PINNED_CALL}"
    assert lines[call - 1] == "content = _known_bytes(found)"


# The test itself


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, yaml",
        "from pickle import loads",
        "import torch\ntorch.load('a')",
        "from torch import load",
        "def f():\n    import joblib\n    return joblib.dump",
        "from joblib import load",
        "eval('1')",
        "x = exec",
        "import numpy as np\nnp.load('a', allow_pickle=True)",
    ],
)
def test_banned_is_seen(source):
    assert banned(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "open('a', 'w')",
        "open('a', mode='ab')",
        "path.open('xb')",
        "path.open(mode='r+')",
        "path.write_text('a')",
        "(root / 'a').write_bytes(b'')",
        "np.save('a', b)",
        "torch.save(a, 'b')",
        "onnx.save(model, path)",
        "json.dump(a, file)",
        "figure.savefig('a.png')",
        "image.save(path)",
        "np.memmap(path, np.uint8, 'r+', shape=shape)",
        "frame.to_csv('a')",
    ],
)
def test_writing_is_seen(source):
    assert writing(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "path.open('rb')",
        "open('a')",
        "open(path, 'rb')",
        "content = io.BytesIO()\nimage.save(content, format='PNG')",
        "state.save(checkpoint)",
        "np.memmap(path, np.uint8, 'r')",
        "path.open(encoding='utf-8', newline='')",
    ],
)
def test_reading_is_not_writing(source):
    assert writing(ast.parse(source)) == []


def test_imports_are_seen_wherever_they_stand():
    source = "def f():\n    from ova.heads.training import train\n    import ova.cli.app\nfrom ova.errors import OvaError\n"
    assert list(imports_of(ast.parse(source))) == ["ova.errors", "ova.heads.training.train", "ova.cli.app"]
    assert list(imports_of(ast.parse(source), at_import=True)) == ["ova.errors"]
    guarded = "if TYPE_CHECKING:\n    import ova.cli.app\nclass A:\n    import ova.errors\n"
    assert list(imports_of(ast.parse(guarded), at_import=True)) == ["ova.errors"]
    assert through_a_package(ast.parse("from ova import open_dataset")) == ["ova.open_dataset"]
    assert through_a_package(ast.parse("import ova\nova.analyse()")) == ["ova.analyse"]
    assert through_a_package(ast.parse("from ova import __version__, storage")) == []
