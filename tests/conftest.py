"""What several test files share. No test needs a network; none leaves files outside `tmp_path`."""

import csv
import os
import subprocess
import sys
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


def write_npz(path, **changes):
    """Write a valid small data file, with some arrays replaced or, if None, left out."""
    random = np.random.RandomState(1)
    arrays = {
        "x_train": random.randint(0, 256, (300, 28, 28), np.uint8),
        "y_train": random.randint(0, 10, 300).astype(np.uint8),
        "x_test": random.randint(0, 256, (20, 28, 28), np.uint8),
        "y_test": random.randint(0, 10, 20).astype(np.uint8),
    }
    arrays = {key: value for key, value in (arrays | changes).items() if value is not None}
    np.savez(path, **arrays)
    return path


@pytest.fixture
def npz(tmp_path):
    return write_npz(tmp_path / "data.npz")


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


@pytest.fixture
def no_xla(monkeypatch):
    remove_xla(monkeypatch)


def shrink_networks(monkeypatch):
    """Swap in networks that train in no time, for tests of what happens around the training."""
    remove_xla(monkeypatch)

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


@pytest.fixture
def small_networks(monkeypatch):
    shrink_networks(monkeypatch)


def at_epoch(monkeypatch, epoch, action):
    """Call `action` at the end of an epoch that draws a picture, before anything is saved."""
    plot = mnist_gan.plot_generated_images

    def plot_and_act(e, *arguments, **options):
        if e == epoch:
            action()
        return plot(e, *arguments, **options)

    monkeypatch.setattr(mnist_gan, "plot_generated_images", plot_and_act)


def contents(folder):
    """Return the bytes of every file in a folder, by name; the lock tells nothing."""
    files = [path for path in Path(folder).iterdir() if path.is_file()]
    return {path.name: path.read_bytes() for path in files if path.name != "checkpoint.lock"}


def pictures(folder):
    """Return the bytes of a run's pictures, curves and GIF by name."""
    return {n: b for n, b in contents(folder).items() if n.startswith("gan_") and "csv" not in n}


def read_losses(folder):
    """Return the rows of gan_loss.csv: epoch, d_loss, g_loss, seconds, as text."""
    with open(Path(folder) / "gan_loss.csv", newline="") as file:
        return list(csv.DictReader(file))


def saved_weights(folder):
    return keras.models.load_model(Path(folder) / "generator.keras", compile=False).get_weights()


def check_same_run(folder, other):
    """Compare weights, losses and pictures of two runs to the byte."""
    for weight, expected in zip(saved_weights(other), saved_weights(folder), strict=True):
        assert np.array_equal(weight, expected)
    for row, expected in zip(read_losses(other), read_losses(folder), strict=True):
        assert {**row, "seconds": None} == {**expected, "seconds": None}
    assert pictures(other).keys() == pictures(folder).keys()
    for name, content in pictures(folder).items():
        assert pictures(other)[name] == content, name


def start_python(*line, cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **environment):
    """Start Python on a script or on code that may import mnist_gan; return the process."""
    path = os.pathsep.join([str(SCRIPT.parent), str(SCRIPT.parent / "tests")])
    environment = os.environ | {"PYTHONPATH": path} | environment
    streams = {"stdout": stdout, "stderr": stderr, "text": True}
    return subprocess.Popen([sys.executable, *map(str, line)], cwd=cwd, env=environment, **streams)


def run_python(*line, cwd, **environment):
    """Run Python to its end; return (exit code, out, err)."""
    process = start_python(*line, cwd=cwd, **environment)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err
