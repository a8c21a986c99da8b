"""What several test files share. No test needs a network; none leaves files outside `tmp_path`."""

import csv
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import mnist_gan

SCRIPT = Path(mnist_gan.__file__).resolve()
PATIENCE = 300  # seconds until a process counts as hung, on a slow and busy machine too


def pytest_collection_modifyitems(items):
    """Run the smoke test first: it tells within seconds whether anything works at all."""
    items.sort(key=lambda item: item.path.name != "test_smoke.py")


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    """Pull the network: Keras's loader fails as it does offline."""

    def fail():
        raise Exception("URL fetch failure on URL: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr(mnist_gan.mnist, "load_data", fail)


@pytest.fixture(scope="session")
def drawn():
    """Draw the digits once for all tests, which only read them."""
    return mnist_gan.load_mnist_data("drawn")


def write_npz(path, **changes):
    """Write a valid small data file, with some arrays replaced or, if None, left out."""
    random = np.random.RandomState(1)
    arrays = {
        "x_train": random.randint(0, 256, (300, 28, 28), np.uint8),
        "y_train": random.randint(0, 10, 300).astype(np.uint8),
        "x_test": random.randint(0, 256, (20, 28, 28), np.uint8),
        "y_test": random.randint(0, 10, 20).astype(np.uint8),
    }
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.fixture
def npz(tmp_path):
    return write_npz(tmp_path / "data.npz")


def run(epochs, data, folder, **changes):
    """Train with 18 steps an epoch, and with pictures after epochs 1, 2 and 4."""
    arguments = {"batch_size": 16, "seed": 3, "sample_every": 2, "output_dir": folder} | changes
    return mnist_gan.train(epochs, data=data, **arguments)


@pytest.fixture(scope="session")
def whole(drawn, tmp_path_factory):
    """Train four epochs in one go, as a reader would; return (data file, folder, losses)."""
    folder = tmp_path_factory.mktemp("whole")
    data = write_npz(folder / "data.npz", x_train=drawn[2][:300])
    return data, folder / "out", run(4, data, folder / "out")


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs the command line in this process: (exit code, out, err)."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)

    def run_command(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist_gan.py", *map(str, arguments)])
        try:
            code = mnist_gan.main()
        except SystemExit as exit:
            code = exit.code
        return code, *capsys.readouterr()

    return run_command


def make_networks():
    """Return generator, discriminator and gan, made as the tutorial makes them."""
    adam = mnist_gan.get_optimizer()
    generator = mnist_gan.get_generator(adam)
    discriminator = mnist_gan.get_discriminator(adam)
    gan = mnist_gan.get_gan_network(discriminator, mnist_gan.random_dim, generator, adam)
    return generator, discriminator, gan


def remove_xla(monkeypatch):
    """Make TensorFlow compile nothing with XLA, which saves seconds."""
    function = tf.function
    monkeypatch.setattr(tf, "function", lambda *a, jit_compile=None, **k: function(*a, **k))


def dense(inputs, *units):
    """Return a function that makes a network of Dense layers, to swap in for the script's."""

    def get_network(optimizer):
        last = keras.layers.Dense(units[-1], "sigmoid" if units[-1] == 1 else "tanh")
        layers = [keras.layers.Dense(n) for n in units[:-1]]
        network = keras.Sequential([keras.Input((inputs,)), *layers, last])
        network.compile(loss="binary_crossentropy", optimizer=optimizer)
        return network

    return get_network


def shrink_networks(monkeypatch):
    """Swap in networks that train in no time, for tests of what happens around the training."""
    remove_xla(monkeypatch)
    monkeypatch.setattr(mnist_gan, "get_generator", dense(100, 8, 784))
    monkeypatch.setattr(mnist_gan, "get_discriminator", dense(784, 8, 1))


@pytest.fixture
def small_networks(monkeypatch):
    shrink_networks(monkeypatch)


@pytest.fixture
def still(small_networks, monkeypatch):
    """Small networks that stay as they are, with steps that do nothing but return losses."""
    monkeypatch.setattr(mnist_gan, "get_train_step", lambda *_: lambda *_: (0.75, 0.5))


def contents(folder):
    """Return the bytes of every file in a folder, by name; the lock tells nothing."""
    files = [path for path in Path(folder).iterdir() if path.is_file() and path.suffix != ".lock"]
    return {path.name: path.read_bytes() for path in files}


def pictures(folder):
    """Return the bytes of a run's pictures, curves and GIF by name."""
    return {n: b for n, b in contents(folder).items() if n.startswith("gan_") and "csv" not in n}


def read_losses(folder):
    """Return the rows of gan_loss.csv: epoch, d_loss, g_loss, seconds, as text."""
    return list(csv.DictReader((Path(folder) / "gan_loss.csv").read_text().splitlines()))


def saved_weights(folder):
    """Return all weights of the saved generator, one after the other."""
    generator = keras.models.load_model(Path(folder) / "generator.keras", compile=False)
    return np.concatenate([weight.ravel() for weight in generator.get_weights()])


def check_same_run(folder, other):
    """Compare weights, losses and pictures of two runs to the byte."""
    assert saved_weights(other).dtype == np.float32
    assert np.array_equal(saved_weights(other), saved_weights(folder))
    for row, expected in zip(read_losses(other), read_losses(folder), strict=True):
        assert row | {"seconds": None} == expected | {"seconds": None}
    assert pictures(other).keys() == pictures(folder).keys()
    for name, content in pictures(folder).items():
        assert pictures(other)[name] == content, name


def start_python(*line, cwd, **environment):
    """Start Python on a script or on code that may import mnist_gan; kill it if it hangs."""
    path = os.pathsep.join([str(SCRIPT.parent), str(SCRIPT.parent / "tests")])
    options = {"cwd": cwd, "env": os.environ | {"PYTHONPATH": path} | environment, "text": True}
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A shell's background job ignores Ctrl-C, and what it starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([sys.executable, *map(str, line)], **options)
    watch = threading.Timer(PATIENCE, process.kill)
    watch.daemon = True
    watch.start()
    return process


def run_python(*line, cwd, **environment):
    """Run Python to its end; return (exit code, out, err)."""
    process = start_python(*line, cwd=cwd, **environment)
    out, err = process.communicate()
    return process.returncode, out, err
