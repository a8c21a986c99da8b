"""The pages name what exists, their commands parse, and the code they show is the script's."""

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest
from helpers import SCRIPT

PAGES = ["README.md", "README.ko.md", "TUTORIAL.md", "TUTORIAL.ko.md", "CONTRIBUTING.md"]
PAGES += ["outputs/reference/README.md"]
TEXT = {name: (SCRIPT.parent / name).read_text(encoding="utf-8") for name in PAGES}
COMMANDS = {
    c for text in TEXT.values() for c in re.findall(r"python mnist_gan\.py([^`\n#]*)", text)
}


@pytest.mark.parametrize("command_line", sorted(COMMANDS))
def test_a_command_on_a_page_parses(command, monkeypatch, command_line):
    parse = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda self: exit(not parse(self)))
    code, _, err = command(*shlex.split(command_line))
    assert code == 0, err


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_exist(page):
    folder = (SCRIPT.parent / page).parent
    for link in re.findall(r"\]\((?!http|#)([^)#]+)", TEXT[page]):
        assert (folder / link).exists(), link


def test_the_options_are_those_of_help(command):
    options = sorted(set(re.findall(r"--[\w-]+", command("--help")[1])) - {"--help"})
    for page in ("README.md", "README.ko.md"):
        assert sorted(re.findall(r"^\| `(--[\w-]+)` \|", TEXT[page], re.MULTILINE)) == options


def functions(code):
    """Return the functions in a text, by name, without docstrings, comments and layout."""
    found = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    for node in found:
        node.body = node.body[ast.get_docstring(node) is not None :]
    return {node.name: ast.unparse(node) for node in found}


@pytest.mark.parametrize("page", ["TUTORIAL.md", "TUTORIAL.ko.md"])
def test_the_lesson_shows_the_functions_of_the_script_in_its_order(page):
    shown = functions("\n".join(re.findall(r"```python\n(def .*?|@.*?)```", TEXT[page], re.DOTALL)))
    script = functions(Path(SCRIPT).read_text(encoding="utf-8"))
    assert list(shown) == list(script)[: list(script).index("train") + 1]
    assert shown == {name: script[name] for name in shown}
