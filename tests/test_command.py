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
@pytest.mark.parametrize("value", ["-1", "0", str(2**32)])
def test_numbers_out_of_range(command, tmp_path, name, value):
    if (name, value) == ("seed", "0"):
        return  # a good seed
    result = command(f"--{name}={value}", "--output-dir", tmp_path / "out", "--data", "drawn")
    check_refusal(result, name.replace("-", "_"), value, f"from {int(name != 'seed')} to")
    assert not (tmp_path / "out").exists()


def test_numbers_in_python_too():
    for arguments in ({"epochs": 0}, {"epochs": 2.0}, {"limit": -1}, {"seed": None}):
        ((name, value),) = arguments.items()
        with pytest.raises(ValueError, match=f"{name} must be .*, not {value}$"):
            mnist_gan.train(**arguments)
    with pytest.raises(ValueError, match="not '3'"):
        mnist_gan.train(epochs="3")


def test_numpy_numbers_and_paths(small_networks, tmp_path, npz):
    losses = mnist_gan.train(np.int64(1), np.int32(100), data=npz, output_dir=tmp_path / "out")
    assert len(losses["d_loss"]) == 3


@pytest.mark.parametrize(
    "arguments",
    [["--epochs", "x"], ["--unknown"], ["--epochs"], ["--resume", "--generate"], ["stray"]],
    ids=" ".join,
)
def test_unknown_arguments(command, arguments):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "") and "mnist_gan.py: error: " in err.splitlines()[-1]


def test_a_batch_larger_than_the_data(command, npz):
    check_refusal(command("--data", npz, "--batch-size", 301), "batch_size 301", "300")
    check_refusal(command("--data", npz, "--limit", 100), "batch_size 128", "100")


def test_bad_data(command, tmp_path):
    check_refusal(command("--data", tmp_path / "none.npz"), "none.npz", "auto, mnist or drawn")
    check_refusal(command("--data", tmp_path), tmp_path)
    (tmp_path / "bad.npz").write_text("hello")
    check_refusal(command("--data", tmp_path / "bad.npz"), "bad.npz")
    check_refusal(command("--data", "mnist"), "MNIST", "not known", "--data PATH", code=1)


def test_an_output_folder_that_is_a_file(command, tmp_path, npz):
    (tmp_path / "file").write_text("kept")
    for folder in (tmp_path / "file", tmp_path / "file" / "in"):
        check_refusal(command("--data", npz, "--output-dir", folder), "output_dir", folder)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody may write to")
def test_an_output_folder_that_cannot_be_written(command, npz):
    for folder in ("/proc/outputs", "/proc"):  # even root cannot write there
        check_refusal(command("--data", npz, "--output-dir", folder), folder, "written")


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
    sheets = {}
    for arguments, seed in (([], 10), (["--seed", 11], 11), (["--seed", 10], 10)):
        code, out, err = command("--generate", "--output-dir", generator_folder, *arguments)
        name = f"gan_generated_image_seed_{seed}.png"
        assert (code, out, err) == (0, f"saved {name}\n", "")
        with Image.open(generator_folder / name) as picture:
            assert picture.size == (1000, 1000)
            pixels = np.asarray(picture.convert("L"))
        assert np.array_equal(sheets.setdefault(seed, pixels), pixels)
    assert not np.array_equal(sheets[10], sheets[11])
    assert len(list(generator_folder.iterdir())) == 3  # nothing was trained
    check_refusal(command("--generate", "--seed", -1), "seed", "-1")


def test_generate_without_a_usable_generator(command, generator_folder):
    path = generator_folder / "generator.keras"
    options = ["--generate", "--output-dir", generator_folder]
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"rubbish"):
        path.write_bytes(content)
        check_refusal(command(*options), path, "train first")
    for inputs, outputs in ((100, 10), (5, 784)):
        keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)]).save(path)
        check_refusal(command(*options), path)
    path.unlink()
    check_refusal(command(*options), path, "train first")
