"""What several test files share. No test needs a network; none leaves files outside `tmp_path`."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import mnist_gan

SCRIPT = Path(mnist_gan.__file__).resolve()


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    """Pull the network: Keras's loader fails as it does offline."""

    def fail():
        raise Exception("URL fetch failure: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr(mnist_gan.mnist, "load_data", fail)


@pytest.fixture
def npz(tmp_path):
    """Return a function that writes a valid small data file, with some arrays replaced."""

    def write(name="data.npz", **changes):
        random = np.random.RandomState(1)
        arrays = {
            "x_train": random.randint(0, 256, (300, 28, 28), np.uint8),
            "y_train": random.randint(0, 10, 300).astype(np.uint8),
            "x_test": random.randint(0, 256, (20, 28, 28), np.uint8),
            "y_test": random.randint(0, 10, 20).astype(np.uint8),
        }
        arrays |= changes
        path = tmp_path / name
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return write


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs the command line in this process: (exit code, out, err)."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist_gan.py", *map(str, arguments)])
        try:
            code = mnist_gan.main()
        except SystemExit as exit:
            code = exit.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def small_networks(monkeypatch):
    """Swap in networks that train in no time, for tests of what happens around the training."""

    def small(make):
        def get_network(optimizer):
            first, *_, last = make(optimizer).layers
            layers = [keras.Input(first.input.shape[1:]), keras.layers.Dense(8)]
            network = keras.Sequential([*layers, keras.layers.Dense(last.units, last.activation)])
            network.compile(loss="binary_crossentropy", optimizer=optimizer)
            return network

        return get_network

    for name in ("get_generator", "get_discriminator"):
        monkeypatch.setattr(mnist_gan, name, small(getattr(mnist_gan, name)))
    monkeypatch.setattr(mnist_gan, "xla_works", lambda: False)


def run_script(*arguments, cwd, **kwargs):
    """Run `python mnist_gan.py` as a user does; return the finished process."""
    line = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=170, **kwargs)


def run_python(code, cwd):
    """Run Python code that may import mnist_gan; return the finished process."""
    line = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent)}
    return subprocess.run(
        line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=170
    )
