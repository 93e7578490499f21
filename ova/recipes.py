"""TOML recipes -> checked, frozen settings; every problem of a file is reported at once."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from ova.errors import RecipeError


class Settings(BaseModel):
    """Base of all recipe settings: frozen, strict types, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


Recipe = TypeVar("Recipe", bound=Settings)


def load_recipe(path: Path, kind: type[Recipe]) -> Recipe:
    """Read a TOML file into settings.

    Raises:
        RecipeError: The file is missing, not TOML, or has wrong settings (all of them are named).
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(f"{path} is missing") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    return check_recipe(content, kind, str(path))


def load_named(path: Path, kind: type[Recipe], what: str, known: Sequence[str]) -> Recipe:
    """Read the recipe of a head or ensemble that a user named.

    Args:
        path: Where it should be.
        kind: Its settings.
        what: "head" or "ensemble".
        known: Names that there are.

    Raises:
        RecipeError: There is no such recipe (near names are told), or it is wrong.
    """
    if not path.is_file():
        hint = nearest(path.stem, known) or f"; there are: {', '.join(known) or 'none'}"
        raise RecipeError(f"no {what} {path.stem!r}: {path} is missing{hint}")
    return load_recipe(path, kind)


def check_recipe(content: dict[str, Any], kind: type[Recipe], source: str) -> Recipe:
    """Check parsed settings; `source` names them in the error."""
    try:
        # Through JSON, strict mode takes arrays as tuples and still refuses "3" for 3.
        return kind.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        problems = "; ".join(_describe(problem, kind) for problem in error.errors())
        raise RecipeError(f"{source}: {problems}") from error


def nearest(name: str, known: Iterable[str], limit: int = 5) -> str:
    """Say which known names are near an unknown one: ``; did you mean a, b?`` or nothing."""
    close = get_close_matches(name, list(known), n=limit, cutoff=0.5)
    return f"; did you mean {', '.join(close)}?" if close else ""


def _describe(problem: Any, kind: type[Settings]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "recipe"
    if problem["type"] == "extra_forbidden":
        return f"{where} is not a setting{nearest(str(problem['loc'][-1]), _all_keys(kind))}"
    if problem["type"] == "missing":
        return f"{where} is missing"
    text = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {text[0].lower()}{text[1:]}, got {problem['input']!r}"


def _all_keys(kind: type[Settings]) -> set[str]:
    keys: set[str] = set()
    for name, field in kind.model_fields.items():
        keys.add(name)
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, Settings):
                keys |= _all_keys(part)
    return keys
