"""The command line: bad input ends in one line and exit code 2, before any training."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import mnist_gan


def check_refusal(result, *words, code=2):
    assert result[:2] == (code, "")
    assert result[2].startswith("mnist_gan.py: error: ") and result[2].count("\n") == 1
    for word in words:
        assert str(word) in result[2]


@pytest.mark.parametrize("name", ["epochs", "batch-size", "limit", "sample-every", "seed"])
@pytest.mark.parametrize("value", ["-1", "0", "x", "1.5", "", str(2**32)])
def test_numbers_out_of_range(command, tmp_path, name, value):
    if (name, value) == ("seed", "0"):
        return  # a good seed
    lowest = 0 if name == "seed" else 1
    result = command(f"--{name}={value}", "--output-dir", tmp_path / "out", "--data", "drawn")
    check_refusal(result, name.replace("-", "_"), value, f"from {lowest} to 4294967295")
    assert not (tmp_path / "out").exists()


def test_numbers_in_python_too():
    for arguments in ({"epochs": 0}, {"epochs": 2.0}, {"limit": -1}, {"seed": None}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            mnist_gan.train(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [["--epoch", "3"], ["--unknown"], ["--epochs"], ["--resume", "--generate"], ["stray"]],
    ids=" ".join,
)
def test_unknown_arguments(command, arguments):
    check_refusal(command(*arguments))


def test_a_batch_larger_than_the_data(command, tmp_path, npz):
    path = npz()
    check_refusal(command("--data", path, "--batch-size", 301), "batch_size 301", "300")
    check_refusal(command("--data", path, "--limit", 100), "batch_size 128", "100")


def test_bad_data(command, tmp_path):
    check_refusal(command("--data", tmp_path / "none.npz"), "none.npz", "auto, mnist or drawn")
    check_refusal(command("--data", tmp_path), tmp_path, "folder")
    check_refusal(command("--data", "mnist"), "MNIST", "not known", "--data PATH")


def test_an_output_folder_that_is_a_file(command, tmp_path, npz):
    path = npz()
    (tmp_path / "file").write_text("kept")
    check_refusal(command("--data", path, "--output-dir", tmp_path / "file"), "file", "folder")
    check_refusal(command("--data", path, "--output-dir", tmp_path / "file" / "in"), "file")
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody may write to")
def test_an_output_folder_that_cannot_be_written(command, npz):
    # Even root cannot write there.
    check_refusal(command("--data", npz(), "--output-dir", "/proc/outputs"), "/proc/outputs")
    check_refusal(command("--data", npz(), "--output-dir", "/proc"), "/proc", "written")


def test_help_names_defaults(command):
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    for default in ("40", "128", "auto", "10", "20", "outputs"):
        assert f"(default: {default})" in " ".join(out.split())


@pytest.fixture
def generator_folder(tmp_path):
    keras.utils.set_random_seed(1)
    generator = mnist_gan.get_generator(mnist_gan.get_optimizer())
    generator.save(tmp_path / "generator.keras")
    return tmp_path


def test_generate(command, generator_folder):
    pictures = {}
    for arguments, seed in (([], 10), (["--seed", 11], 11), (["--seed", 10], 10)):
        code, out, err = command("--generate", "--output-dir", generator_folder, *arguments)
        path = generator_folder / f"gan_generated_image_seed_{seed}.png"
        assert (code, out, err) == (0, f"saved {path}\n", "")
        with Image.open(path) as picture:
            assert picture.size == (1000, 1000)
            pixels = np.asarray(picture.convert("L"))
        assert np.array_equal(pictures.setdefault(seed, pixels), pixels)
    assert not np.array_equal(pictures[10], pictures[11])


def test_generate_without_a_generator(command, tmp_path):
    check_refusal(command("--generate", "--output-dir", tmp_path), "generator.keras", "train first")


def test_generate_from_foreign_files(command, generator_folder):
    path = generator_folder / "generator.keras"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    check_refusal(command("--generate", "--output-dir", generator_folder), path, "not a whole")
    path.write_text("rubbish")
    check_refusal(command("--generate", "--output-dir", generator_folder), path)
    keras.Sequential([keras.Input((100,)), keras.layers.Dense(10)]).save(path)
    check_refusal(command("--generate", "--output-dir", generator_folder), path, "(784,)")
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(784)]).save(path)
    check_refusal(command("--generate", "--output-dir", generator_folder), path)
    check_refusal(command("--generate", "--seed", -1), "seed", "-1")
