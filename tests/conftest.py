"""Fixtures only; what tests call stands in helpers.py."""

import contextlib
import runpy
import signal
import sys
from unittest import mock

import keras
import pytest
from helpers import SCRIPT, SMALL, load_script, plot_quickly, run_command, write_npz


@pytest.fixture(autouse=True)
def offline_in_an_empty_folder(monkeypatch, tmp_path):
    """Pull the network: Keras's loader fails as it does offline."""
    error = Exception("URL fetch failure on URL: None -- [Errno -2] Name or service not known")
    monkeypatch.setattr(keras.datasets.mnist, "load_data", mock.Mock(side_effect=error))
    monkeypatch.chdir(tmp_path)
    # A shell's background job ignores Ctrl-C, and so would the processes started from here.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Train two epochs by the real command; return its folder, options and output."""
    work = tmp_path_factory.mktemp("whole")
    options = ("--epochs", 2, "--data", write_npz(work / "data.npz"), *SMALL)
    with contextlib.chdir(work):
        code, out, err = run_command(*options)
    assert code == 0, err
    return work / "outputs" / "run_1", options, out + err


@pytest.fixture
def npz(tmp_path):
    return write_npz(tmp_path / "data.npz")


@pytest.fixture
def no_xla(monkeypatch):
    """Make Keras compile nothing with XLA, which saves seconds; return the options for that."""
    original, options = keras.Model.compile, {"jit_compile": False}
    monkeypatch.setattr(keras.Model, "compile", lambda *a, **k: original(*a, **k | options))
    return options


@pytest.fixture
def small(no_xla, monkeypatch):
    """Return the script as a module whose networks are small and eager, to train in no time."""
    no_xla["run_eagerly"] = True
    dense = keras.layers.Dense

    def small_dense(units, **options):
        return dense(units if units in (1, 784) else 8, **options)

    monkeypatch.setattr(keras.layers, "Dense", small_dense)
    return load_script()


@pytest.fixture
def train(small, npz):
    """Return `train` of the small networks on small data: 2 steps an epoch, quick sheets."""
    small.plot_generated_images = plot_quickly

    def run(epochs, folder, **changes):
        options = {"data": npz, "batch_size": 150, "seed": 3, "sample_every": 2} | changes
        return small.train(epochs, output_dir=folder, **options)

    return run


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
