"""The reader's own settings change nothing and break nothing."""

import json

import keras
import matplotlib
import pytest
from conftest import check_same_run, run, run_python

HOSTILE = {"image.origin": "lower", "image.interpolation": "bilinear", "text.usetex": True}
HOSTILE |= {"savefig.bbox": "tight", "savefig.dpi": 30, "savefig.facecolor": "black"}
HOSTILE |= {"figure.autolayout": True, "font.family": "no such font", "axes.facecolor": "red"}
HOSTILE |= {"axes.prop_cycle": "cycler('color', ['k'])", "lines.linewidth": 7}


@pytest.fixture
def plain(small_networks, tmp_path, npz):
    run(2, npz, tmp_path / "plain")
    return tmp_path / "plain"


def test_settings_of_matplotlib_and_keras(plain, tmp_path, npz):
    with matplotlib.rc_context(HOSTILE):
        before = dict(matplotlib.rcParams)
        keras.config.set_floatx("float64")
        try:
            for policy in ("mixed_float16", "float64"):
                keras.config.set_dtype_policy(policy)
                run(2, npz, tmp_path / policy)
                assert keras.config.dtype_policy().name == policy
                assert keras.config.floatx() == "float64"
        finally:
            keras.config.set_floatx("float32")
            keras.config.set_dtype_policy("float32")
        assert dict(matplotlib.rcParams) == before
    for policy in ("mixed_float16", "float64"):
        check_same_run(plain, tmp_path / policy)


SURROUNDED = """
import os, signal, sys
before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
import mnist_gan
assert os.listdir() == ["home"], os.listdir()  # an import writes nothing
import pytest, conftest
if os.name == "posix":
    os.close(2)
    sys.stderr = None
conftest.shrink_networks(pytest.MonkeyPatch())
for extra in ([], ["--resume"], []):  # the last one moves the first two aside
    sys.argv[1:] = [*{options!r}, *extra]
    assert mnist_gan.main() == 0
assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
"""


def test_a_foreign_session_terminal_and_configuration(plain, tmp_path, npz):
    """A folder's name that the terminal cannot print, settings in files, no standard error."""
    home = tmp_path / "work" / "home"
    home.mkdir(parents=True)
    (home / "matplotlibrc").write_text("image.origin: lower\nsavefig.bbox: tight\n")
    settings = {"floatx": "float64", "epsilon": 0.01, "image_data_format": "channels_first"}
    (home / "keras.json").write_text(json.dumps(settings))
    options = ["--epochs", "2", "--batch-size", "16", "--seed", "3", "--sample-every", "2"]
    options += ["--data", str(npz), "--output-dir", "결과"]
    environment = {"PYTHONIOENCODING": "ascii", "KERAS_HOME": str(home), "KERAS_BACKEND": "jax"}
    line = ["-c", SURROUNDED.format(options=options)]
    code, out, err = run_python(*line, cwd=home.parent, MATPLOTLIBRC=str(home), **environment)
    assert code == 0 and out.startswith("epoch 1/2: ") and "Traceback" not in err, out + err
    check_same_run(plain, home.parent / "결과")
    check_same_run(plain, home.parent / "결과" / "run_1")
