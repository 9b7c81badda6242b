"""The README keeps its word: the first command is near the top, every setting and every folder is in it."""

from __future__ import annotations

import re
from pathlib import Path

from foundation.settings import Settings

HOUSE = Path(__file__).resolve().parents[2]
README = (HOUSE / "README.md").read_text("utf-8")


def test_the_first_command_stands_within_twenty_lines() -> None:
    assert any("make run" in line for line in README.splitlines()[:20])


def test_every_setting_is_in_the_table_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        assert re.search(rf"^\| `{name.upper()}` \|", README, re.MULTILINE), name
        assert field.description, f"{name} says nothing about itself"


def test_every_folder_of_code_is_on_the_map() -> None:
    for folder in HOUSE.glob("*/__init__.py"):
        assert f"`{folder.parent.name}/`" in README, folder.parent.name


def test_the_picture_is_there() -> None:
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (HOUSE / picture).exists(), picture
