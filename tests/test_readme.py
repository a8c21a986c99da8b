"""Both READMEs against the code: options, files, commands, and the code that they show."""

import re
import shlex
import textwrap
from pathlib import Path

import pytest

import mnist_gan

ROOT = Path(mnist_gan.__file__).resolve().parent
READMES = ["README.md", "README.ko.md"]
TOOLS = [ROOT / "tests" / "tools" / name for name in ("quality.py", "benchmark.py")]
FILES = ["gan_generated_image_epoch_1.png", "gan_loss.csv", "gan_loss.png", "gan_training.gif"]
FILES += ["generator.keras", "run.json", "checkpoint.npz", "checkpoint.lock"]
# What a reader may have or make: neither the project's nor listed above.
FOREIGN = {"mnist.npz", "gan_generated_image_epoch_20.png", "gan_generated_image_seed_7.png"}

pytestmark = pytest.mark.parametrize("readme", READMES)


def code(readme):
    """Return the code blocks as (language, text), Mermaid aside, and all between backticks."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [f for f in fences if f[0] != "mermaid"], re.findall(r"`([^`\n]+)`", rest)


def test_options(readme, command):
    blocks, spans = code(readme)
    named = set(re.findall(r"--[a-z-]+", "\n".join([text for _, text in blocks] + spans)))
    options = set(re.findall(r"--[a-z-]+", command("--help")[1]))
    assert options - named == set(), "options that the page does not name"
    for tool in TOOLS:
        options |= set(re.findall(r'"(--[a-z]+)"', tool.read_text(encoding="utf-8")))
    assert named - options - {"--with-requirements"} == set(), "options that do not exist"


def test_files(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert len(links) > 5
    for link in links:
        assert (ROOT / link).exists(), link
    blocks, spans = code(readme)
    pattern = r"[\w./-]*\w\.(?:py|txt|md|png|csv|gif|json|keras|npz|toml|lock)\b"
    names = set(re.findall(pattern, "\n".join([text for _, text in blocks] + spans)))
    for name in names - FOREIGN:
        assert name.removeprefix("outputs/") in FILES or (ROOT / name).exists(), name
    for name in FILES:
        assert f"`{name}`" in text, "a file of a run that the page does not explain"


def test_commands(readme, command, monkeypatch):
    blocks, spans = code(readme)
    lines = [line for _, text in blocks for line in text.splitlines()] + spans
    commands = [re.search(r"mnist_gan\.py( -.*)?$", line) for line in lines if "python" in line]
    commands = [shlex.split(found[1] or "") for found in commands if found]
    assert len(commands) >= 6
    trained = []
    monkeypatch.setattr(mnist_gan, "train", lambda **arguments: trained.append(arguments))
    for options in commands:
        if "--help" not in options and "--generate" not in options:
            assert command(*options)[0] == 0, options
    assert trained


def test_code_that_the_page_shows_stands_in_the_script(readme):
    source = (ROOT / "mnist_gan.py").read_text(encoding="utf-8")
    shown = [text for language, text in code(readme)[0] if "def " in text and language == "python"]
    assert shown and "def train_step" in shown[0]
    for block in shown:
        assert textwrap.indent(block, "    ") in source


def test_the_pages_link_each_other(readme):
    other = next(page for page in READMES if page != readme)
    assert f"({other})" in (ROOT / readme).read_text(encoding="utf-8")


def test_the_pages_keep_step(readme):
    """Headings, tables, code and figures of the Korean page are those of the English one."""
    pages = [(ROOT / page).read_text(encoding="utf-8") for page in READMES]
    for pattern in (r"^(#+) ", r"^\|", r"^```.*", r"\]\((?!#|README)(.*?)\)"):
        ours, theirs = (re.findall(pattern, page, re.MULTILINE) for page in pages)
        assert sorted(ours) == sorted(theirs), pattern
    shown = [[text for language, text in code(page)[0] if language] for page in READMES]
    assert shown[0] == shown[1]
    rows = [re.findall(r"^\|.*", page, re.MULTILINE) for page in pages]
    for row, other in zip(*rows):
        assert re.findall(r"\d+(?:\.\d+)+", row) == re.findall(r"\d+(?:\.\d+)+", other), row
