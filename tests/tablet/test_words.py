"""The tablet and the common pages speak both languages, and what they weigh stays small."""

import gzip
import json
import re
from pathlib import Path

import pytest
from stage import settings_for

import main
from foundation import texts

HOUSE = Path(__file__).resolve().parents[2]
TABLET = HOUSE / "tablet"
SCRIPTS = {script.name: script.read_text("utf-8") for script in sorted(TABLET.glob("*.js"))}
LANGUAGES = {file.stem: json.loads(file.read_text("utf-8")) for file in sorted((TABLET / "locale").glob("*.json"))}


def facts(sentence: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", sentence))


def test_both_languages_of_the_tablet_have_the_same_keys_and_facts() -> None:
    assert set(LANGUAGES) == {"vi", "en"}
    vi, en = LANGUAGES["vi"], LANGUAGES["en"]
    assert set(vi) == set(en)
    assert {key: facts(sentence) for key, sentence in vi.items()} == {
        key: facts(sentence) for key, sentence in en.items()
    }


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_sentence_a_script_says_exists(name: str) -> None:
    said = set(re.findall(r'\bsay\("([a-z_.]+)"', SCRIPTS[name]))
    assert said <= set(LANGUAGES["en"])


def test_every_verdict_has_its_word() -> None:
    looks = re.search(r"const LOOKS = {(.*?)\n};", SCRIPTS["verdict.js"], re.DOTALL)
    assert looks is not None
    verdicts = re.findall(r"(\w+): \[", looks[1])
    assert len(verdicts) > 15
    assert {f"verdict.{name}" for name in verdicts} <= set(LANGUAGES["en"])


def test_no_sentence_of_the_tablet_is_left_unsaid() -> None:
    scripts = "".join(SCRIPTS.values())
    # Keys put together from a name: say(`verdict.${name}`).
    prefixes = tuple(re.findall(r"say\(`([a-z_.]+)\$", scripts))
    unsaid = {key for key in LANGUAGES["en"] if f'"{key}"' not in scripts and not key.startswith(prefixes)}
    assert unsaid == set()


@pytest.mark.parametrize("area", ["common", "docs"])
def test_the_pages_share_their_keys_between_the_languages(area: str) -> None:
    vi, en = (
        {key: facts(sentence) for key, sentence in texts.catalogue(language).items() if key.startswith(f"{area}.")}
        for language in ("vi", "en")
    )
    assert vi == en


def test_every_operation_has_a_title_in_both_languages() -> None:
    described = main.assemble(settings_for("postgresql://postgres@/postgres?host=nowhere")).openapi()
    operations = {one["operationId"]: one for path in described["paths"].values() for one in path.values()}
    for language in ("vi", "en"):
        said = texts.catalogue(language)
        assert {name for key in said if (name := key.removeprefix("docs.operation.")) != key} == set(operations)
        assert {f"docs.audience.{path.split('/')[3]}" for path in described["paths"]} <= set(said)
    assert operations["vehicle_in"]["summary"] == "A vehicle comes in"


def test_the_modules_of_the_tablet_import_no_one_that_imports_them() -> None:
    imports = {name: set(re.findall(r'from "\./([a-z]+\.js)"', script)) for name, script in SCRIPTS.items()}
    while free := {name for name, needs in imports.items() if not needs & set(imports)}:
        imports = {name: needs for name, needs in imports.items() if name not in free}
    assert imports == {}


def test_the_tablet_shell_is_light() -> None:
    compressed = sum(len(gzip.compress(script.encode())) for script in SCRIPTS.values())
    assert compressed <= 60_000


def test_the_scripts_and_the_look_of_a_visitors_page_are_light() -> None:
    static = HOUSE / "foundation" / "static"
    assert (static / "style.css").stat().st_size <= 16_384
    assert (static / "live.js").stat().st_size <= 2_048
    assert (static / "pay.js").stat().st_size <= 3_072
    assert (static / "keys.js").stat().st_size <= 1_024


def test_nothing_is_fetched_from_elsewhere() -> None:
    served = [
        *TABLET.glob("*.js"),
        *TABLET.glob("*.html"),
        *TABLET.glob("*.css"),
        *(HOUSE / "foundation" / "static").iterdir(),
    ]
    for file in served:
        addresses = set(re.findall(r"https?://[^\s\"')]+", file.read_text("utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}, file.name
