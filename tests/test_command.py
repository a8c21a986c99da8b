"""The command, whatever surrounds it, and the pages that name its options and show its code."""

import argparse
import ast
import json
import os
import re
import shlex
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import SCRIPT, contents, results, run_command
from PIL import Image


def test_smoke(whole, command, monkeypatch):
    folder, _, shown = whole
    lines = [line for line in shown.splitlines() if line.startswith(("outputs", "epoch"))]
    assert lines[0] == "outputs/run_1: epochs done: 0, to go: 2"
    assert re.fullmatch(r"epoch 1/2: d_loss \d\.\d{3}, g_loss \d\.\d{3}, \d+\.\d s", lines[1])
    assert len(lines) == 4 and lines[3].startswith("outputs/run_1: ")
    assert "Epoch 1: " in shown and "d_loss=" in shown and "g_loss=" in shown
    names = {"gan_generated_image_epoch_1.png", "gan_generated_image_epoch_2.png"}
    names |= {"gan_loss.csv", "gan_loss.png", "gan_training.gif", "generator.keras"}
    names |= {"run.json", "script.py", "checkpoint.npz"}
    before = contents(folder)
    assert before.keys() == names

    monkeypatch.chdir(folder.parents[1])
    sheets = [folder / f"gan_generated_image_seed_{seed}.png" for seed in (10, 7)]
    assert command("--generate")[:2] == (0, f"saved outputs/run_1/{sheets[0].name}\n")
    assert command("--generate", "--seed", 7)[0] == 0
    assert Image.open(sheets[1]).size == (1000, 1000)
    assert sheets[0].read_bytes() != sheets[1].read_bytes()
    for sheet in sheets:
        sheet.unlink()
    assert contents(folder) == before  # it trained nothing


BAD = [  # options, exit code, what is said
    ("--epochs 0", 2, "epochs must be a whole number"),
    ("--batch-size -3", 2, "batch_size must be a whole number"),
    ("--batch-size 301", 2, "batch_size 301 is larger than the data, 300 images"),
    ("--epoch 3", 2, "unrecognized arguments: --epoch 3"),
    ("--resume", 2, "outputs/run.json does not exist; train first"),
    ("--data=", 2, "data '' does not exist"),
    ("--data nowhere.npz", 2, "data 'nowhere.npz' does not exist.*auto, mnist, drawn"),
    ("--data .", 2, r"data '\.' .*Is a directory"),
    ("--data mnist", 1, "MNIST is not available.*Name or service.*--data"),
]


@pytest.mark.parametrize("options, code, said", BAD)
def test_a_bad_option_is_refused_in_a_line_and_leaves_nothing(command, npz, options, code, said):
    found, out, err = command("--data", npz, *options.split())
    assert (found, out) == (code, "") and "Traceback" not in err
    assert re.match(f"mnist_gan.py: error: .*{said}", err.splitlines()[-1], re.IGNORECASE)
    assert not Path("outputs", "run_1").exists()


def test_too_little_memory_is_one_line(command, npz, monkeypatch):
    monkeypatch.setattr(np, "load", lambda *_, **__: bytes(2**62))
    code, _, err = command("--data", npz, "--epochs", 1)
    assert code == 1 and "memory" in err.splitlines()[-1] and "Traceback" not in err


def test_resume_remembers_the_options(small, command, npz):
    options = ["--data", npz, "--batch-size", 50, "--limit", 100, "--seed", 5, "--sample-every", 7]
    assert command(*options, "--epochs", 1, "--output-dir", "out")[0] == 0
    began = json.loads(Path("out", "run.json").read_text())["arguments"]
    resume = ["--resume", "--output-dir", "out"]
    code, out, _ = command(*resume, "--epochs", 2)
    assert code == 0 and out.startswith("out: epochs done: 1, to go: 1\nepoch 2/2: ")
    assert json.loads(Path("out", "run.json").read_text())["arguments"] == began | {"epochs": 2}
    npz.rename("moved.npz")
    code, _, err = command(*resume)
    assert code == 2 and "data.npz' does not exist" in err and "--data" in err
    code, out, _ = command(*resume, "--data", "moved.npz")
    assert code == 0 and re.fullmatch("out: epochs done: 2, to go: 0\nout: .*\n", out)


def test_generate_without_a_usable_generator(train, command):
    train(1, None)
    path = Path("outputs", "run_1", "generator.keras")
    foreign = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(n)]) for n in (784, 7)]
    foreign[0].save(path)
    assert command("--generate")[0] == 0  # It was trained with another random_dim.
    for damage in (foreign[1].save, lambda p: p.write_bytes(p.read_bytes()[:-2000]), Path.unlink):
        damage(path)
        code, out, err = command("--generate")
        assert code == 2 and re.fullmatch(f"mnist_gan.py: error: {path} .*\n", out + err)


def test_settings_of_keras_change_nothing_and_float32_stays(train):
    train(1, "plain")
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("mixed_float16")
    train(1, "other")
    assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"
    assert results("plain") == results("other")


SURROUNDED = """
import os, runpy, signal, sys
os.close(2)
sys.stderr = None
signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
files = os.listdir()
del sys.argv[0]
runpy.run_path(sys.argv[0])  # no more than an import
assert files == os.listdir()
assert signals == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_foreign_terminal_home_and_standard_error(whole, tmp_path):
    """A folder's name that the terminal cannot print, settings in files, no standard error."""
    Path("matplotlibrc").write_text("image.origin: lower\nsavefig.bbox: tight\n")
    Path("keras.json").write_text('{"floatx": "float64", "epsilon": 0.01}')
    changes = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "jax", "MATPLOTLIBRC": str(tmp_path)}
    changes |= {"PYTHONIOENCODING": "ascii", "TQDM_DESC": "x"}
    Path("surrounded.py").write_text(SURROUNDED)
    options = (SCRIPT, *whole[1], "--output-dir", "결과")
    code, out, err = run_command(*options, script="surrounded.py", **changes)
    assert code == 0 and out.startswith(r"\uacb0\uacfc: epochs done: 0, "), out + err
    assert results(whole[0]) == results("결과")


def test_another_backend_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ImportError, match="another backend"):
        exec(SCRIPT.read_text(encoding="utf-8"), {"__name__": "script"})


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that is in use")
def test_a_removed_working_folder_a_long_strange_name_and_code_without_a_file(
    small, train, tmp_path
):
    del small.__file__
    Path("gone").mkdir()
    os.chdir("gone")
    os.rmdir(tmp_path / "gone")
    folder = tmp_path.joinpath(*["a [long] name\nof many * letters ?" * 6] * 4)
    for epochs in (1, 2):
        train(epochs, folder, resume=epochs > 1)
    assert "checkpoint.npz" in contents(folder) and "script.py" not in contents(folder)


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
    script = functions(SCRIPT.read_text(encoding="utf-8"))
    assert list(shown) == list(script)[: list(script).index("train") + 1]
    assert shown == {name: script[name] for name in shown}
