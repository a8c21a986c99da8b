"""Both READMEs against the code: options, files, and commands that parse."""

import re
import shlex
import sys
from pathlib import Path

import pytest

import mnist_gan

ROOT = Path(mnist_gan.__file__).resolve().parent
READMES = ["README.md", "README.ko.md"]
TOOLS = ["tests/tools/quality.py", "tests/tools/benchmark.py"]
# Named as what a reader may have or make; neither the project's nor a run's.
FOREIGN = {"mnist.npz"}

pytestmark = pytest.mark.parametrize("readme", READMES)


def code(readme):
    """Return all that stands in code blocks and between backticks, Mermaid diagrams aside."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fences if language != "mermaid"]
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return blocks, re.findall(r"`([^`\n]+)`", rest)


def script_options(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mnist_gan.py", "--help"])
    with pytest.raises(SystemExit):
        mnist_gan.parse_arguments()
    return set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}


def test_options(readme, capsys, monkeypatch):
    blocks, spans = code(readme)
    named = set(re.findall(r"--[a-z-]+", "\n".join(blocks + spans)))
    options = script_options(capsys, monkeypatch)
    assert options - named == set(), "options that the page does not name"
    for tool in TOOLS:
        options |= set(re.findall(r'"(--[a-z]+)"', (ROOT / tool).read_text()))
    assert named - options - {"--help"} == set(), "options that do not exist"


def test_files(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert len(links) > 5
    for link in links:
        assert (ROOT / link).exists(), link
    blocks, spans = code(readme)
    pattern = r"[\w./-]*\w\.(?:py|txt|md|png|csv|gif|json|keras|npz|toml)\b"
    names = set(re.findall(pattern, "\n".join(blocks + spans)))
    assert len(names) > 10
    for name in names - FOREIGN:
        written = mnist_gan.RUN_FILES.fullmatch(name.removeprefix("outputs/"))
        assert written or (ROOT / name).exists(), name


def test_commands(readme, monkeypatch):
    blocks, spans = code(readme)
    lines = [line for block in blocks for line in block.splitlines()] + spans
    commands = [re.search(r"mnist_gan\.py( .*)?$", line) for line in lines if "python" in line]
    commands = [command for command in commands if command]
    assert len(commands) >= 7
    for command in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(command[0]))
        if "--help" not in sys.argv:
            mnist_gan.parse_arguments()


def test_files_of_a_run_are_explained(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    for name in (
        *("gan_generated_image_epoch_1.png", "gan_loss.csv", "gan_loss.png", "gan_training.gif"),
        *("generator.keras", "run.json", "checkpoint.npz"),
    ):
        assert f"`{name}`" in text


def test_the_pages_link_each_other(readme):
    other = next(page for page in READMES if page != readme)
    assert f"({other})" in (ROOT / readme).read_text(encoding="utf-8")
