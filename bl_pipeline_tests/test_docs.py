"""The documents: nothing there is that they do not name, and they name nothing that is not there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest
import yaml  # type: ignore[import-untyped]
from typer.core import TyperArgument
from typer.exceptions import TyperException
from typer.main import get_command

from bl_pipeline.bricklink import ITEM_FIELDS, ORDER_FIELDS, Loss
from bl_pipeline.columns import OrderGroup
from bl_pipeline.definitions import defs
from bl_pipeline.rules.statuses import GROUPS, NOT_REVENUE
from bl_pipeline.settings import Settings
from bl_pipeline.terminal.cli import app

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()
PAGES = [
    *(PROJECT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING")),
    *sorted((PROJECT / "docs").glob("*.md")),
]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
WITHOUT_COMMAND = {option for parameter in get_command(app).params for option in parameter.opts}
TEST_VARIABLES = {"BRICKLINK_", "BRICKLINK_TOKEN_", "BL_TEST_POSTGRES_15", "BL_TEST_EXAMPLES"}
"""Of the tests alone, and beginnings of names."""

EVERY_COMMAND = {"--help", "--json", "--store"}
"""Described once for all commands."""


def section(title: str) -> str:
    """The text below a heading of the README."""
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    return str(text)


def rows(title: str) -> list[list[str]]:
    """The cells of the table in a section, head and rule left out."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def described_commands() -> dict[str, str]:
    """Each command in the README's table, with how it is written there."""
    written = [form for cells in rows("Commands") for form in re.findall(r"`bl ([^`]+)`", cells[0])]
    return {form.split()[0]: form for form in written}


def test_every_command_is_in_the_readme_and_no_other() -> None:
    assert set(described_commands()) == set(COMMANDS) | WITHOUT_COMMAND


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_readme_and_no_other(name: str) -> None:
    form = described_commands().get(name, "")
    parameters = COMMANDS[name].params
    options = {
        option
        for parameter in parameters
        if not isinstance(parameter, TyperArgument)
        # Of a switch with two sides the one that changes anything; both, if neither is what is done without it.
        for option in (
            *([] if parameter.secondary_opts and parameter.default is not None else parameter.opts[:1]),
            *parameter.secondary_opts[:1],
        )
    }
    assert set(re.findall(r"--[a-z0-9-]+", form)) | EVERY_COMMAND == options | EVERY_COMMAND
    takes_arguments = any(isinstance(parameter, TyperArgument) for parameter in parameters)
    bare = re.sub(r"\[--[^\]]*\]", "", form).split()[1:]
    assert bool(bare) is takes_arguments


def test_every_setting_is_in_the_readme_and_no_other() -> None:
    described = {name for cells in rows("Settings") for name in re.findall(r"`([A-Z_]+)`", cells[0])}
    assert described == {name.upper() for name in Settings.model_fields}


NUMBERS = [name for name, field in Settings.model_fields.items() if isinstance(field.default, int)]


@pytest.mark.parametrize("name", NUMBERS)
def test_defaults_of_settings_are_the_right_ones(name: str) -> None:
    (default,) = (cells[2] for cells in rows("Settings") if f"`{name.upper()}`" in cells[0].replace("/", " "))
    assert str(Settings.model_fields[name].default) in default


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documents_exist(page: Path) -> None:
    """In code only: `bl` is no word of prose."""
    for form in re.findall(r"(?:`|^ *|\$ |\.venv/bin/)bl ((?:--)?[a-z]+(?:-[a-z]+)*)", page.read_text(), re.MULTILINE):
        assert form in COMMANDS or form in WITHOUT_COMMAND | {"--help"}, form


def commands_in(page: Path) -> list[list[str]]:
    """Every command of `bl` that a page says to type, as its words; forms with brackets are no commands."""
    text = page.read_text()
    # Whatever the language, so that the end of one block is not taken for the beginning of another.
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    typed = r"^ *(?:\$ )?(?:\.venv/bin/)?bl (.*)$"
    lines = [line for block in blocks for line in re.findall(typed, block, re.MULTILINE)]
    written = [*lines, *re.findall(r"`(?:\.venv/bin/)?bl ([^`\n\[&]+)[`&]", text)]
    return [shlex.split(line.replace("ID...", "ID").replace("ID", "15646315"), comments=True) for line in written]


def takes_a_value(name: str) -> set[str]:
    """The options of a command that are followed by a value."""
    return {
        option
        for parameter in COMMANDS[name].params
        if not (isinstance(parameter, TyperArgument) or parameter.is_flag)
        for option in parameter.opts
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documents_are_accepted(page: Path) -> None:
    """Their options and arguments, as the command line takes them apart."""
    for name, *arguments in commands_in(page):
        if name not in COMMANDS or (not arguments and any(p.required for p in COMMANDS[name].params)):
            continue  # the name of a command in a sentence; whether it exists is tested above
        if arguments and arguments[-1] in takes_a_value(name):
            arguments.pop()  # the name of an option in a sentence
        try:
            COMMANDS[name].make_context(name, list(arguments))
        except TyperException as error:
            pytest.fail(f"bl {name} {' '.join(arguments)}: {error.format_message()}")


def test_the_run_config_in_the_documents_is_accepted() -> None:
    """What is to be pasted into the Launchpad of the job that is named before it. Planted: a text without quotes."""
    text = "\n".join(page.read_text() for page in PAGES)
    found = re.findall(r"\*\*Jobs → (\w+) → Launchpad\*\*[^`]*^```yaml\n(ops:.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert {job for job, _ in found} >= {"refresh_order", "update_order", "send_drive_thru"}
    assert len(found) == text.count("```yaml\nops:")
    for job, block in found:
        assert dg.validate_run_config(defs.resolve_job_def(job), yaml.safe_load(block))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_in_the_documents_exist(page: Path) -> None:
    known = {name.upper() for name in Settings.model_fields} | TEST_VARIABLES
    assert set(re.findall(r"\b(?:BL|BRICKLINK)_[A-Z_0-9]*", page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    targets = re.findall(r"\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"", text)
    for target in (first or second for first, second in targets):
        if re.match(r"(https?|mailto):", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target


def anchors(page: Path) -> set[str]:
    """Headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_in_the_documents_exist(page: Path) -> None:
    """`sql/revenue_by_month.sql`, `docs/analysts.md`: whatever is in code and has a folder of ours before it."""
    folders = "|".join(re.escape(path.name) for path in PROJECT.iterdir() if path.is_dir())
    for name in re.findall(rf"(?<![\w/.])((?:{folders})/[\w./-]*\w)", page.read_text()):
        assert (PROJECT / name).exists() or name.startswith(".venv/"), name


def test_the_names_in_the_architecture_page_are_those_of_the_code() -> None:
    """Caught: a function that has another name now. What is no name, such as a command or a path, is left out."""
    code = "\n".join(
        path.read_text() for folder in ("bl_pipeline", "bl_pipeline_tests") for path in (PROJECT / folder).rglob("*.py")
    )
    page = (PROJECT / "docs" / "architecture.md").read_text()
    names = {name for name in re.findall(r"`(\w+)(?:\(\))?`", page) if not (PROJECT / name).is_dir()}
    assert "is_current" in names
    assert {name for name in names if not re.search(rf"\b{name}\b", code)} == set()


def test_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ *)make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_the_layout_in_the_readme_is_that_of_the_package() -> None:
    drawn = re.search(r"```\nsql/.*?```", README, re.DOTALL)
    assert drawn is not None
    for name in re.findall(r"^  ([\w/.]+)(?:, ([\w.]+))?", drawn[0], re.MULTILINE):
        for part in filter(None, name):
            assert (PROJECT / "bl_pipeline" / part).exists(), part


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set(), [PROJECT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
        todo += [(page.parent / link).resolve() for link in links if (page.parent / link).is_file()]
    assert reached == set(PAGES)


@pytest.mark.parametrize(("title", "fields"), [("Fields of an order", ORDER_FIELDS), ("Fields of a lot", ITEM_FIELDS)])
def test_the_page_on_tolerance_says_what_each_field_costs(title: str, fields: Mapping[str, Loss]) -> None:
    page = (PROJECT / "docs" / "tolerance.md").read_text()
    (part,) = re.findall(rf"^## {title}\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    described = {
        name: loss.partition(",")[0]
        for loss, names in re.findall(r"^\| ((?:the|nothing)[^|]*) \| (.*) \|$", part, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", names)
    }
    words = {Loss.ORDER: "the order", Loss.LOT: "the lot", Loss.VALUE: "nothing"}
    assert described == {name: words[loss] for name, loss in fields.items()}


def test_the_glossary_says_which_status_is_in_which_group_and_what_is_revenue() -> None:
    page = (PROJECT / "docs" / "glossary.md").read_text()
    described = re.findall(r"^\| `(\w+)` \| (.*) \| .* \| (yes|no) \|$", page, re.MULTILINE)
    assert {
        status: group for group, statuses, _ in described for status in re.findall(r"`([^`]+)`", statuses)
    } == GROUPS
    assert {group: revenue for group, _, revenue in described} == {
        group: "no" if group in NOT_REVENUE else "yes" for group in OrderGroup
    }
