"""Fixtures only; what tests call stands in helpers.py."""

import runpy
import signal
import socket
import sys

import keras
import pytest
from helpers import SCRIPT, SMALL, load_script, plot_quickly, run_command, write_npz

import mnist_gan


def pytest_collection_modifyitems(items):
    """Run the smoke test first: it tells within seconds whether anything works at all."""
    items.sort(key=lambda item: item.path.name != "test_smoke.py")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Pull the network: Keras's loader fails as it does offline, in other processes too."""

    def fail():
        raise Exception("URL fetch failure on URL: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch, tmp_path):
    """Work in an empty folder, and leave the process's settings as they were."""
    monkeypatch.chdir(tmp_path)
    timeout = socket.getdefaulttimeout()
    # A shell's background job ignores Ctrl-C, and so would the processes started from here.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
    socket.setdefaulttimeout(timeout)


@pytest.fixture(scope="session")
def drawn():
    """Draw the digits once for all tests, which only read them."""
    return mnist_gan.load_mnist_data("drawn")


@pytest.fixture
def npz(tmp_path):
    return write_npz(tmp_path / "data.npz")


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Train three epochs by the real command; return the folder, the options and what it said."""
    work = tmp_path_factory.mktemp("whole")
    options = ("--epochs", 3, "--data", write_npz(work / "data.npz"), *SMALL, "--sample-every", 1)
    code, out, err = run_command(*options, cwd=work)
    assert code == 0, err
    return work / "outputs" / "run_1", options, out + err


@pytest.fixture
def no_xla(monkeypatch):
    """Make Keras compile nothing with XLA, which saves seconds."""
    compile_network = keras.Model.compile

    def compile_without_xla(self, *arguments, **options):
        compile_network(self, *arguments, **options | {"jit_compile": False})

    monkeypatch.setattr(keras.Model, "compile", compile_without_xla)


@pytest.fixture
def small(no_xla, monkeypatch):
    """Return the script as a module whose hidden layers have 8 units, to train in no time."""
    dense = keras.layers.Dense

    def small_dense(units, **options):
        return dense(units if units in (1, 784) else 8, **options)

    monkeypatch.setattr(keras.layers, "Dense", small_dense)
    return load_script()


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs the command in this process: (exit code, out, err)."""

    def run(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["mnist_gan.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return exit.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def train(small, npz):
    """Return `train` of the small networks on small data: 18 steps an epoch, quick sheets."""
    small.plot_generated_images = plot_quickly

    def run(epochs, folder, **changes):
        options = {"data": npz, "batch_size": 16, "seed": 3, "sample_every": 2} | changes
        return small.train(epochs, output_dir=folder, **options)

    return run
