"""The reader's own settings change nothing and break nothing."""

import json

import keras
import matplotlib
import numpy as np
import pytest
from conftest import check_same_run, pictures, run_python, saved_weights

import mnist_gan

HOSTILE = {
    "image.origin": "lower",
    "image.interpolation": "bilinear",
    "savefig.bbox": "tight",
    "savefig.dpi": 30,
    "savefig.format": "svg",
    "savefig.facecolor": "black",
    "figure.autolayout": True,
    "text.usetex": True,
    "font.family": "no such font",
    "axes.facecolor": "red",
    "axes.prop_cycle": "cycler('color', ['k'])",
    "lines.linewidth": 7,
}


def train(folder, npz, **arguments):
    mnist_gan.train(2, 100, data=npz, output_dir=folder, **arguments)


def test_matplotlib_settings(small_networks, tmp_path, npz):
    train(tmp_path / "plain", npz)
    with matplotlib.rc_context(HOSTILE):
        before = dict(matplotlib.rcParams)
        train(tmp_path / "hostile", npz)
        assert dict(matplotlib.rcParams) == before
    assert len(pictures(tmp_path / "plain")) == 4
    assert pictures(tmp_path / "hostile") == pictures(tmp_path / "plain")


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dtype_policies(small_networks, tmp_path, npz, policy):
    train(tmp_path / "plain", npz)
    floatx = keras.config.floatx()
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx("float64")
    try:
        train(tmp_path / "other", npz)
        assert keras.config.dtype_policy().name == policy and keras.config.floatx() == "float64"
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy("float32")
    assert all(weight.dtype == np.float32 for weight in saved_weights(tmp_path / "other"))
    check_same_run(tmp_path / "plain", tmp_path / "other")


SURROUNDED = """
import os, sys, mnist_gan  # first, since a test imports Keras
import pytest, conftest
if os.name == "posix":
    os.close(2)
    sys.stderr = None
conftest.shrink_networks(pytest.MonkeyPatch())
sys.exit(mnist_gan.main())
"""


def test_a_foreign_terminal_and_configuration(small_networks, tmp_path, npz):
    """A folder's name that the terminal cannot print, settings in files, no standard error."""
    (tmp_path / "matplotlibrc").write_text("image.origin: lower\nsavefig.bbox: tight\n")
    settings = {"floatx": "float64", "epsilon": 0.01, "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    options = ["--epochs", 2, "--batch-size", 100, "--data", npz, "--output-dir", "결과"]
    environment = {"PYTHONIOENCODING": "ascii", "KERAS_HOME": str(tmp_path)}
    environment |= {"MATPLOTLIBRC": str(tmp_path), "KERAS_BACKEND": "jax"}
    for extra in ([], ["--resume"], []):  # the last one moves the first two aside
        line = ["-c", SURROUNDED, *options, *extra]
        code, out, _ = run_python(*line, cwd=tmp_path, **environment)
        assert code == 0, out
    assert (tmp_path / "결과" / "run_1" / "generator.keras").exists()
    train(tmp_path / "plain", npz)
    check_same_run(tmp_path / "plain", tmp_path / "결과")


INTERACTIVE = """
import runpy, signal, sys
sys.argv = ["mnist_gan.py", *{options!r}]
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
try:
    runpy.run_path({script!r}, run_name="__main__")
except SystemExit as exit:
    assert exit.code == 2, exit
assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("back at the prompt")
"""


def test_ctrl_c_after_a_run_in_an_interactive_session(tmp_path):
    options = ["--data", "nowhere.npz"]
    code = INTERACTIVE.format(options=options, script=mnist_gan.__file__)
    exit_code, out, err = run_python("-c", code, cwd=tmp_path)
    assert (exit_code, out) == (0, "back at the prompt\n"), err
