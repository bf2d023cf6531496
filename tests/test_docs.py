"""The pages say what is there: commands, links, topics, tables, settings and features exist under
the names the pages give them.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer

from cli.main import app
from cli.reports.features_page import features_page
from contracts.config.settings import RENAMED, Settings
from contracts.features import AGGREGATES, COLUMNS, FEATURES
from contracts.redis_keys import (
    COMPARISON_KEY,
    DRIFT_KEY,
    FRESHNESS_KEY,
    HEARTBEAT_KEY,
    PARITY_KEY,
    STATS_KEY,
    model_key,
)
from contracts.tick import Reason
from contracts.topics import TOPICS
from lakehouse.schemas import COLUMNS_OF, GOLD, GOLD_LIVE, SILVER
from stack.platform import FACTORIES
from tests.support import layer_table

REPO = Path(__file__).parents[1]
PAGES = [*sorted(REPO.glob("*.md")), *sorted((REPO / "docs").rglob("*.md"))]
ARCHITECTURE = (REPO / "docs" / "architecture.md").read_text()
OPERATIONS = (REPO / "docs" / "operations.md").read_text()
MONITORING = (REPO / "docs" / "monitoring.md").read_text()
LINE_LENGTH_MAX = 100
NOT_SETTINGS = {"TICK_TEST_DATA", "TICK_TEST_FUZZ"}


def packages() -> list[str]:
    """Folders of all packages, relative to the repository."""
    return sorted(
        str(file.parent.relative_to(REPO))
        for root in layer_table.importlinter()["root_packages"]
        for file in (REPO / root).rglob("__init__.py")
    )


each_page = pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(REPO)))


def code_of(text: str) -> list[str]:
    """Code spans, and the lines of code blocks up to a comment."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    return spans + [line.partition("#")[0] for block in blocks for line in block.splitlines()]


def commands_in(text: str) -> set[tuple[str, ...]]:
    """Every `tick …` in code, as its leading words."""
    found = (re.search(r"(?:^|\s|/)tick ([a-z][a-z0-9 -]*)", code + " ") for code in code_of(text))
    return {tuple(match[1].split()) for match in found if match}


@each_page
def test_every_command_on_the_page_exists(file):
    known = typer.main.get_command(app).commands
    for words in commands_in(file.read_text()):
        command = known.get(words[0])
        assert command is not None, f"tick {' '.join(words)}"
        inner = getattr(command, "commands", None)
        assert inner is None or len(words) == 1 or words[1] in inner, f"tick {' '.join(words)}"


def test_the_page_search_finds_commands():
    assert commands_in(
        "`tick up` then\n```sh\ntick lake compact   # now\n```\nand `TICK_HOME=x tick …`"
    ) == {("up",), ("lake", "compact")}


def test_the_layers_are_those_that_the_linter_holds():
    assert "\n".join(layer_table.table()) in ARCHITECTURE, (
        "`python -m tests.support.layer_table` prints the table"
    )


@pytest.mark.parametrize("package", packages())
def test_every_package_says_what_it_is(package):
    assert layer_table.sentence(package)


@pytest.mark.parametrize(
    "file", sorted((REPO / "docs" / "decisions").glob("0*.md")), ids=lambda file: file.stem
)
def test_every_decision_has_its_status_and_date(file):
    status = r"\nStatus: (accepted|superseded by \d+), \d{4}-\d{2}-\d{2}\n"
    assert re.match(r"# \d+\. .+\n" + status, file.read_text())


@each_page
def test_every_link_leads_somewhere(file):
    for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text()):
        if not target.startswith("https://"):
            assert (file.parent / target.partition("#")[0]).exists(), target


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@each_page
def test_every_anchor_is_a_heading(file):
    for path, anchor in re.findall(r"\]\(([^)\s:#]*)#([^)\s]+)\)", file.read_text()):
        page = file.parent / path if path else file
        assert anchor in anchors(page), f"{path}#{anchor}"


@pytest.mark.parametrize(
    "file", [page for page in PAGES if page.name != "features.md"], ids=lambda file: str(file.name)
)
def test_lines_are_short_except_rows_of_tables(file):
    lines = [line for line in file.read_text().splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > LINE_LENGTH_MAX] == []


@each_page
def test_every_setting_on_the_page_exists(file):
    named = set(re.findall(r"\bTICK_[A-Z0-9_]*[A-Z0-9]\b", file.read_text())) - NOT_SETTINGS
    old = set(RENAMED) if file.name == "CHANGELOG.md" else set()
    fields = {name.removeprefix("TICK_").lower() for name in named}
    assert fields <= set(Settings.model_fields) | old


def test_architecture_names_every_topic_table_and_key():
    for topic in TOPICS:
        assert re.search(
            rf"^\| `{re.escape(topic.name)}` \| {topic.partitions} \|"
            rf" {topic.retention_ms // 86_400_000} days? \|",
            ARCHITECTURE,
            re.M,
        )
    for name in (*COLUMNS_OF, HEARTBEAT_KEY, STATS_KEY, FRESHNESS_KEY):
        assert f"| `{name}` |" in ARCHITECTURE
    for name in (PARITY_KEY, DRIFT_KEY, COMPARISON_KEY, model_key("<name>")):
        assert f"`{name}`" in ARCHITECTURE


def test_pages_for_operators_name_every_port_reason_and_service():
    defaults = Settings().model_dump()
    for name in Settings.model_fields:
        if name.endswith("_port"):
            assert f"`TICK_{name.upper()}`" in OPERATIONS and str(defaults[name]) in OPERATIONS
    assert all(f"| `{reason}` |" in MONITORING for reason in Reason)
    (services,) = re.findall(r"^Services are ([^.]*)\.", MONITORING, re.M)
    assert set(re.split(r",\s+|\s+and\s+", services)) == set(FACTORIES)


def test_every_decision_is_in_the_list():
    folder = REPO / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text())
    assert listed == sorted(file.name for file in folder.glob("[0-9]*.md"))
    for number, name in enumerate(listed, 1):
        assert (folder / name).read_text().startswith(f"# {number}. ")


def test_features_page_is_the_one_written_from_the_definitions():
    assert (REPO / "docs" / "features.md").read_text() == features_page(), (
        "write it again: tick features page > docs/features.md"
    )


def test_features_page_has_every_definition_and_no_braces():
    text = features_page()
    assert all(text.count(f"\n| `{part.name}` |") >= 1 for part in (*FEATURES, *AGGREGATES))
    assert all(f"`{column.name}`" in text for column in COLUMNS if column.core)
    assert not set("{}") & set(text)


def test_the_picture_is_well_formed_and_names_the_stores():
    picture = " ".join(ElementTree.parse(REPO / "docs" / "way-of-a-tick.svg").getroot().itertext())
    assert all(
        name in picture for name in (SILVER, GOLD, GOLD_LIVE, "ticks.dead_letter", "tick_features")
    )
