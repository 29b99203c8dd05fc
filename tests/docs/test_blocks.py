"""Every block of the README and the docs: its commands, options and settings exist, YAML and Python are what they seem."""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
import yaml

import distil
from distil.cli.main import cli
from distil.config import Config, Loader, override_config, parse_config
from distil.errors import DistilError
from tests.docs.blocks import FENCE, PAGES, ROOT, SHELLS, Block, blocks, commands, simple_commands

WITH_COMMANDS = [page for page in PAGES if blocks(page, *SHELLS)]
LANGUAGES = {"", "text", "json", "yaml", "python", *SHELLS}
BASE: dict[str, object] = {"prompts": {"path": "p.jsonl"}, "teachers": [{"model": "openai/gpt-5-mini"}] * 2}
OTHERS = {"compute_environment": "accelerate", "dataset_path": "lm-evaluation-harness", "jobs": "GitHub Actions"}
"""A top key by which a YAML block is another program's -> which."""


def settings() -> dict[str, object]:
    data = yaml.safe_load(json.dumps(BASE))
    assert isinstance(data, dict)
    return data


def check_command(words: Sequence[str], where: str) -> None:
    """The command, its options, their values, and its --set and `config set` are ones that Distil takes. Nothing runs."""
    command, name, rest = _found(words[1:], where)
    try:
        context = command.make_context(name, list(rest))
    except click.exceptions.Exit:
        return  # --help
    except click.BadParameter as error:
        assert isinstance(error.param and error.param.type, click.Path), f"{where}: {error.format_message()}"
        return
    except click.UsageError as error:
        pytest.fail(f"{where}: `{' '.join(words)}`: {error.format_message()}")
    overrides = list(context.params.get("overrides") or ())
    if name == "set":
        overrides += next(value for value in context.params.values() if isinstance(value, tuple) and value)
    try:
        override_config(settings(), where, overrides)
    except DistilError as error:
        pytest.fail(f"{where}: `{' '.join(words)}`: {error}")


def _found(words: Sequence[str], where: str) -> tuple[click.Command, str, Sequence[str]]:
    command: click.Command = cli
    name, context = "distil", click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, below = words[0], command.get_command(context, words[0])
        assert below is not None, f"{where}: there is no command `distil {' '.join(words)}`"
        command, words = below, words[1:]
    return command, name, words


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_are_there(page: Path) -> None:
    for block in blocks(page, *SHELLS):
        for words in commands(block):
            if words[0].rpartition("/")[2] == "distil":
                check_command(words, str(page.relative_to(ROOT)))


def test_a_wrong_command_would_be_found() -> None:
    for line in (
        "distil colect",
        "distil collect --limt 2",
        "distil train --set train.epoch=2",
        "distil config set a.b=1",
    ):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check_command(line.split(), "here")


def test_the_blocks_say_what_they_are() -> None:
    found = {(page.name, language) for page in PAGES for _, language, _ in FENCE.findall(page.read_text("utf-8"))}
    assert {(page, language) for page, language in found if language not in LANGUAGES} == set()


@pytest.mark.parametrize("block", [b for page in PAGES for b in blocks(page, "yaml")], ids=lambda b: b.page.stem)
def test_the_yaml_of_a_page_is_what_it_seems(block: Block) -> None:
    data = yaml.load(block.text, Loader)
    (other, *_) = [*(name for key, name in OTHERS.items() if key in data), None]
    if other is None:
        assert set(data) <= set(Config.model_fields), block.page.name
        parse_config({**settings(), **data}, block.page.name)
    for line in _runs(data) if other == "GitHub Actions" else ():
        for words in simple_commands(line):
            if words[0] == "distil":
                check_command(words, block.page.name)


def _runs(node: object) -> Iterator[str]:
    """What the steps of a workflow type."""
    if isinstance(node, dict):
        yield from [node["run"]] if "run" in node else []
        node = list(node.values())
    for below in node if isinstance(node, list) else ():
        yield from _runs(below)


@pytest.mark.parametrize("block", [b for page in PAGES for b in blocks(page, "python")], ids=lambda b: b.page.stem)
def test_the_python_of_a_page_uses_what_there_is(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("distil"):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "distil":
            assert node.attr in distil.__all__, f"{block.page.name}: distil.{node.attr}"


@pytest.mark.parametrize("block", [b for page in PAGES for b in blocks(page, "json")], ids=lambda b: b.page.stem)
def test_the_json_of_a_page_is_json(block: Block) -> None:
    json.loads(block.text)
