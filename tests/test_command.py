"""The command line: options, exit codes, one line for every expected failure."""

import errno
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import contents, write_npz

import mnist_gan

BAD_OPTIONS = [
    ["--epochs", "0"],
    ["--epochs", "1.5"],
    ["--batch-size", "-3"],
    ["--limit", "0"],
    ["--seed", "-1"],
    ["--seed", str(2**32)],
    ["--sample-every", "0"],
    ["--batch-size", "301"],
    ["--epoch", "3"],
    ["--generate", "--seed", "-1"],
    ["--unknown"],
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=" ".join)
def test_bad_options_are_two_lines_at_most_and_exit_code_2(command, npz, options):
    code, out, err = command("--data", npz, *options)
    assert code == 2 and out == "" and "Traceback" not in err
    assert "error: " in err.splitlines()[-1]
    assert not Path("outputs", "run_1").exists()


BAD_DATA = {
    "nowhere.npz": "does not exist",
    "": "does not exist",
    ".": "Is a directory",
    "small.txt": "pickle|whole|magic|File",
}


@pytest.mark.parametrize("data", BAD_DATA)
def test_bad_data_is_one_line_with_path_and_cause(command, data):
    Path("small.txt").write_text("digits")
    code, out, err = command("--data", data)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"mnist_gan.py: error: data '{data}' ") and re.search(BAD_DATA[data], err)
    assert not Path("outputs", "run_1").exists()


def test_no_mnist_without_a_network_is_exit_code_1(command):
    code, out, err = command("--data", "mnist")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("mnist_gan.py: error: MNIST is not available")


def test_a_wrong_folder_is_one_line(command, npz):
    Path("file").touch()
    for options in (["--output-dir", "file"], ["--output-dir", "file/run"]):
        code, out, err = command("--data", npz, *options)
        assert (code, out, err.count("\n")) == (2, "", 1) and "file" in err


def test_too_little_memory_is_one_line(command, npz, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np, "concatenate", fail)
    code, out, err = command("--data", npz, "--output-dir", "out", "--epochs", "1")
    assert code == 1 and "memory" in err.splitlines()[-1] and "Traceback" not in err


def test_a_full_disk_is_one_line(small, command, npz, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    code, out, err = command("--data", npz, "--batch-size", "150", "--epochs", "1")
    line = err.splitlines()[-1].split("\r")[-1].strip()
    assert code == 1 and line.startswith("mnist_gan.py: error: outputs/run_1/checkpoint.npz ")
    assert "No space left on device" in line


def test_a_mistake_in_the_readers_code_keeps_its_traceback(monkeypatch, command, npz):
    def fail(*_, **__):
        raise ValueError("a mistake")

    monkeypatch.setattr(keras.utils, "set_random_seed", fail)
    with pytest.raises(ValueError, match="a mistake"):
        command("--data", npz, "--output-dir", "out")


def test_help_names_every_option_and_its_default(command):
    code, out, _ = command("--help")
    defaults = {"epochs": 40, "batch-size": 128, "data": "auto", "limit": "all", "seed": 10}
    defaults |= {"sample-every": 20, "output-dir": "outputs/run_N"}
    for name, default in defaults.items():
        assert re.search(rf"--{name} .*?\(.*?{default}\)", out, re.DOTALL), name
    assert code == 0 and "--resume" in out and "--generate" in out
    assert "None" not in out and "False" not in out


def test_resume_remembers_the_options(small, command, npz):
    options = ["--data", npz, "--batch-size", 50, "--limit", 100, "--seed", 5, "--sample-every", 1]
    assert command(*options, "--epochs", 2, "--output-dir", "out")[0] == 0
    began = json.loads(Path("out", "run.json").read_text())["arguments"]
    code, out, _ = command("--resume", "--output-dir", "out", "--epochs", 3)
    assert code == 0 and out.startswith("out: 2 epochs done, 1 to go\nepoch 3/3: ")
    assert json.loads(Path("out", "run.json").read_text())["arguments"] == began | {"epochs": 3}
    code, out, _ = command("--resume", "--output-dir", "out")  # nothing is left to do
    assert code == 0 and out.startswith("out: 3 epochs done, 0 to go\nout: ")
    code, _, err = command("--resume", "--output-dir", "out", "--seed", 6)
    assert code == 2 and err.splitlines()[-1].endswith("seed was 5, now 6")


def test_resume_when_the_data_file_is_gone(small, command, npz):
    assert command("--data", npz, "--batch-size", 150, "--epochs", 1)[0] == 0
    npz.rename("moved.npz")
    code, _, err = command("--resume", "--epochs", 2)
    assert code == 2 and "data.npz' does not exist" in err and "--data" in err
    assert command("--resume", "--epochs", 2, "--data", "moved.npz")[0] == 0


def test_the_last_line_names_the_folder(small, command, npz):
    _, out, _ = command("--data", npz, "--batch-size", 150, "--epochs", 1, "--output-dir", "out")
    first, *_, last = out.splitlines()
    assert first.startswith("out: ") and last.startswith("out: ")


def test_generate_trains_nothing_and_draws_other_digits_for_another_seed(small, command, npz):
    command("--data", npz, "--batch-size", 150, "--epochs", 1)
    before = contents("outputs/run_1")
    for seed in ("3", "4"):
        assert command("--generate", "--seed", seed)[0] == 0
    after = contents("outputs/run_1")
    sheets = [after.pop(f"gan_generated_image_seed_{seed}.png") for seed in "34"]
    assert sheets[0] != sheets[1] and after == before


@pytest.mark.parametrize("damage", ["missing", "truncated", "another network"])
def test_generate_without_a_usable_generator(small, command, npz, damage):
    command("--data", npz, "--batch-size", 150, "--epochs", 1)
    path = Path("outputs", "run_1", "generator.keras")
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    else:
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(784)]).save(path)
    code, out, err = command("--generate")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"mnist_gan.py: error: {path} ")


def test_the_saved_generator_needs_nothing_of_this_project(whole, tmp_path):
    generator = keras.models.load_model(whole[0] / "generator.keras")
    assert (generator.input_shape, generator.output_shape) == ((None, 100), (None, 784))
    assert {type(layer).__module__.split(".")[0] for layer in generator.layers} == {"keras"}
    images = generator.predict_on_batch(np.zeros((2, 100), np.float32))
    assert np.abs(images).max() <= 1


def test_numbers_in_python_are_checked_too(tmp_path):
    path = write_npz(tmp_path / "data.npz")
    for bad in ({"epochs": "3"}, {"batch_size": 2.0}, {"seed": None}, {"limit": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))} must be a whole number"):
            mnist_gan.train(**{"data": path} | bad)
