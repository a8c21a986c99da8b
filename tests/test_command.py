"""The command line: bad input ends in one line and exit code 2, before any training."""

from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import write_npz
from PIL import Image

import mnist_gan


def check_refusal(result, *words, code=2):
    assert result[:2] == (code, "")
    assert result[2].startswith("mnist_gan.py: error: ") and result[2].count("\n") == 1
    for word in words:
        assert str(word) in result[2]


@pytest.mark.parametrize("name", ["epochs", "batch_size", "limit", "sample_every", "seed"])
def test_numbers_out_of_range(command, tmp_path, name):
    lowest = int(name != "seed")
    for value in (-1, lowest - 1, 2**32):
        option = f"--{name.replace('_', '-')}={value}"
        result = command(option, "--output-dir", tmp_path / "out")
        check_refusal(result, f"{name} must be a whole number from {lowest} to", f"not {value}")
    for value in (2.0, "3"):
        with pytest.raises(ValueError, match=f"{name} must be .*, not {value!r}$"):
            mnist_gan.train(**{name: value}, output_dir=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_unknown_arguments(command):
    for line in ("--epochs x", "--unknown", "--epochs", "--resume --generate", "stray"):
        code, out, err = command(*line.split())
        assert (code, out) == (2, "") and "mnist_gan.py: error: " in err.splitlines()[-1]


REFUSED = {
    "a batch larger than the data": (["--batch-size", 301], ["batch_size 301", "300"], 2),
    "a batch larger than the limit": (["--limit", 100], ["batch_size 128", "100"], 2),
    "no such data": (["--data", "none.npz"], ["none.npz", "auto, mnist or drawn"], 2),
    "data that are none": (["--data", "text.npz"], ["text.npz"], 2),
    "MNIST offline": (["--data", "mnist"], ["MNIST", "not known", "--data PATH"], 1),
    "a file as folder": (["--output-dir", "text.npz"], ["output_dir text.npz"], 2),
    "a folder in a file": (["--output-dir", "text.npz/in"], ["output_dir", "in"], 2),
    "no checkpoint": (["--resume", "--output-dir", "new"], ["checkpoint.npz: no checkpoint to"], 2),
    "no generator": (["--generate", "--output-dir", "new"], ["generator.keras", "train first"], 2),
    "a bad seed": (["--generate", "--seed", -1], ["seed", "-1"], 2),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(command, monkeypatch, tmp_path, case):
    arguments, words, code = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    write_npz("data.npz")
    Path("text.npz").write_text("hello")
    check_refusal(command("--data", "data.npz", *arguments), *words, code=code)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "text.npz"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="even root cannot write there")
@pytest.mark.parametrize("folder", ["/proc/outputs", "/proc"])
def test_an_output_folder_that_cannot_be_written(command, npz, folder):
    check_refusal(command("--data", npz, "--output-dir", folder), folder, "written")


def test_help_names_defaults(command):
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    for default in ("40", "128", "auto", "10", "20", "outputs"):
        assert f"(default: {default})" in " ".join(out.split())


def test_generate(command, tmp_path):
    mnist_gan.get_generator(mnist_gan.get_optimizer()).save(tmp_path / "generator.keras")
    sheets = []
    for arguments, seed in (([], 10), (["--seed", 11], 11), (["--seed", 10], 10)):
        code, out, err = command("--generate", "--output-dir", tmp_path, *arguments)
        name = f"gan_generated_image_seed_{seed}.png"
        assert (code, err) == (0, "") and out.startswith(f"saved {name}")
        sheets.append(np.asarray(Image.open(tmp_path / name).convert("L")))
        assert sheets[-1].shape == (1000, 1000)
    assert np.array_equal(sheets[0], sheets[2]) and not np.array_equal(sheets[0], sheets[1])
    assert len(list(tmp_path.iterdir())) == 3  # nothing was trained


@pytest.mark.parametrize("inputs, outputs, keep", [(100, 784, 0.5), (100, 10, 1), (5, 784, 1)])
def test_generate_with_what_is_no_generator(command, tmp_path, inputs, outputs, keep):
    path = tmp_path / "generator.keras"
    keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)]).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    check_refusal(command("--generate", "--output-dir", tmp_path), path, "train first")
