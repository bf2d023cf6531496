"""`--help` of every command and group, as a newcomer reads it on a screen of 80 columns."""

import re
from datetime import datetime

import pytest
from typer.testing import CliRunner

from cli import times
from cli.main import app
from tests.cli.screens import COLUMNS, every_command

EVERY = every_command()
GROUPS = {name for name, command in EVERY.items() if getattr(command, "commands", None)}
LEAVES = sorted(set(EVERY) - GROUPS)
NEEDY = [name for name in LEAVES if any(p.required for p in EVERY[name].params)]
EXAMPLES = re.compile(r"\d|such as|e\.g\.|as for|default|file|list|, |`|from")
# They end with another code than 0 and 1: a script must be able to read what it means.
WITH_CODE_3 = ("train tick", "train power", "train mnist", "train cifar10", "drift", "parity")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    runner = CliRunner(env={"COLUMNS": str(COLUMNS)})
    results = {name: runner.invoke(app, [*name.split(), "--help"]) for name in EVERY}
    assert {result.exit_code for result in results.values()} == {0}
    return {name: result.output for name, result in results.items()}


def options(name: str, kind: type) -> list:
    """The options and arguments of a command that are of this type."""
    return [p for p in EVERY[name].params if p.type_descriptor.annotation is kind]


def test_the_list_of_commands_is_complete():
    assert {"", "job", "lake", "features", "online", "train", "model", "predict"} <= GROUPS
    assert len(LEAVES) > 55


@pytest.mark.parametrize("name", EVERY)
def test_a_page_fits_80_columns_without_colour(pages, name):
    assert "\x1b" not in pages[name]
    assert max(map(len, pages[name].splitlines())) <= COLUMNS


@pytest.mark.parametrize("name", EVERY)
def test_no_word_is_cut_short(pages, name):
    cut = re.findall(r"\S*\w…", pages[name])
    assert set(cut) <= {"TICK_…", "gold.tick_daily…"}, "these two are names with an end left open"


@pytest.mark.parametrize("name", EVERY)
def test_a_page_begins_with_a_sentence(name):
    help_text = EVERY[name].help or EVERY[name].callback.__doc__
    first = help_text.strip().split("\n\n")[0]
    assert first[0].isupper() or first.startswith("`tick")
    assert first.rstrip().endswith((".", ":"))


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_and_argument_is_explained(name):
    for parameter in EVERY[name].params:
        assert parameter.help, parameter.name
        assert len(parameter.help) > len("only"), parameter.name


@pytest.mark.parametrize("name", LEAVES)
def test_every_word_to_type_has_an_example_or_a_source(name):
    for parameter in options(name, str):
        assert EXAMPLES.search(parameter.help) or parameter.default, parameter.name


@pytest.mark.parametrize("name", LEAVES)
def test_every_time_shows_its_spelling_and_its_zone(name, pages):
    for parameter in options(name, datetime):
        assert parameter.metavar in (times.DAY_METAVAR, times.TIME_METAVAR)
        assert parameter.metavar in pages[name]
        assert "UTC" in parameter.help or parameter.opts[0] in (
            "--from",
            "--reference-from",
            "--reference-to",
        )


@pytest.mark.parametrize("name", LEAVES)
def test_every_number_shows_its_default_or_says_what_replaces_it(name, pages):
    for parameter in [*options(name, int), *options(name, float)]:
        shown = f"[default: {parameter.default}]" in pages[name].replace("\n", "")
        described = "default" in parameter.help or parameter.default is None or parameter.required
        assert shown or described, parameter.name


@pytest.mark.parametrize("name", WITH_CODE_3)
def test_an_unusual_exit_code_is_explained(name):
    text = " ".join(EVERY[name].callback.__doc__.split())
    assert re.search(r"Exit code 0: .* 3: .* 1: ", text)


@pytest.mark.parametrize("name", sorted(GROUPS - {""}))
def test_a_group_alone_prints_its_help(name, pages):
    result = CliRunner(env={"COLUMNS": str(COLUMNS)}).invoke(app, name.split())
    assert result.exit_code == 2
    assert result.output.split() == pages[name].split()


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_a_group_lists_every_command_below_it(name, pages):
    for command in EVERY[name].commands:
        assert re.search(rf"│ {re.escape(command)} ", pages[name]), command


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["replai"], "replay"),
        (["stat"], "stats"),
        (["job", "resum"], "resume"),
        (["model", "promot"], "promote"),
        (["features", "lst"], "list"),
        (["airflow", "bakfill"], "backfill"),
    ],
    ids=" ".join,
)
def test_a_misspelled_command_is_named_and_corrected(words, suggestion):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, words)
    assert result.exit_code == 2
    assert f"No such command '{words[-1]}'" in result.output
    assert suggestion in result.output


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["replay", "a.csv", "--spead", "1"], "--speed"),
        (["history", "--dayz", "1"], "--days"),
        (["sql", "SELECT 1", "--limt", "1"], "--limit"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_a_misspelled_option_is_named_and_corrected(words, suggestion):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, words)
    assert result.exit_code == 2
    assert suggestion in result.output


@pytest.mark.parametrize("name", NEEDY)
def test_a_missing_argument_is_named_with_the_way_to_the_help(name):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, name.split())
    assert result.exit_code == 2
    assert "Missing" in result.output
    assert "--help" in result.output
