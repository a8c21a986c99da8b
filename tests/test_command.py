"""The command line: options, exit codes, one line for every expected failure."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

WHOLE = "must be a whole number"
BAD = [  # options, exit code, what is said
    ("--epochs 0", 2, f"epochs {WHOLE}"),
    ("--epochs 1.5", 2, "--epochs: invalid int"),
    ("--batch-size -3", 2, f"batch_size {WHOLE}"),
    ("--batch-size 301", 2, "batch_size 301 is larger than the data, 300 images"),
    ("--limit 0", 2, f"limit {WHOLE}"),
    (f"--seed {2**32}", 2, f"seed {WHOLE}"),
    ("--generate --seed -1", 2, "outputs/run_0/run.json does not exist"),
    ("--sample-every 0", 2, f"sample_every {WHOLE}"),
    ("--epoch 3", 2, "unrecognized arguments: --epoch 3"),
    ("--output-dir data.npz", 2, "data.npz.*exists"),
    ("--output-dir data.npz/run", 2, "data.npz/run.*Not a directory"),
    ("--resume", 2, "outputs/run_0/run.json does not exist; train first"),
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


@pytest.mark.parametrize("name", ["load", "concatenate"])
def test_too_little_memory_is_one_line(command, npz, monkeypatch, name):
    monkeypatch.setattr(np, name, lambda *_, **__: bytes(2**62))
    code, _, err = command("--data", npz, "--epochs", 1)
    assert code == 1 and "memory" in err.splitlines()[-1] and "Traceback" not in err


def test_a_mistake_in_the_readers_code_keeps_its_traceback(monkeypatch, command, npz):
    monkeypatch.setattr(keras.utils, "set_random_seed", lambda seed: int("a mistake"))
    with pytest.raises(ValueError, match="a mistake"):
        command("--data", npz)


def test_resume_remembers_the_options(small, command, npz):
    options = ["--data", npz, "--batch-size", 50, "--limit", 100, "--seed", 5, "--sample-every", 1]
    assert command(*options, "--epochs", 2, "--output-dir", "out")[0] == 0
    began = json.loads(Path("out", "run.json").read_text())["arguments"]
    resume = ["--resume", "--output-dir", "out"]
    code, out, _ = command(*resume, "--epochs", 3)
    assert code == 0 and out.startswith("out: 2 epochs done, 1 to go\nepoch 3/3: ")
    assert json.loads(Path("out", "run.json").read_text())["arguments"] == began | {"epochs": 3}
    npz.rename("moved.npz")
    code, _, err = command(*resume)
    assert code == 2 and "data.npz' does not exist" in err and "--data" in err
    code, out, _ = command(*resume, "--data", "moved.npz")
    assert code == 0 and re.fullmatch("out: 3 epochs done, 0 to go\nout: .*\n", out)


@pytest.mark.parametrize("damage", ["missing", "truncated", "another network"])
def test_generate_without_a_usable_generator(train, command, damage):
    train(1, None)
    path = Path("outputs", "run_1", "generator.keras")
    path.write_bytes(path.read_bytes()[:-2000])
    if damage == "missing":
        path.unlink()
    if damage == "another network":
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(784)]).save(path)
    code, out, err = command("--generate")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"mnist_gan.py: error: {path} ")
