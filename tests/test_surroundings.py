"""What surrounds the script changes nothing and breaks nothing, and is left as it was."""

import json
import os
from pathlib import Path

import keras
import pytest
from helpers import SCRIPT, contents, results, run_command


@pytest.mark.parametrize("policy", ["mixed_float16", "float64"])
def test_settings_of_keras_change_nothing_and_float32_stays(train, policy):
    train(1, "plain")
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy(policy)
    train(1, "other")
    assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"
    assert results("plain") == results("other")


SURROUNDED = """
import os, runpy, signal, sys
os.close(2)
sys.stderr = None
signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
files = os.listdir()
del sys.argv[0]
runpy.run_path(sys.argv[0])  # no more than an import
assert files == os.listdir()
assert signals == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_foreign_terminal_home_and_standard_error(whole, tmp_path):
    """A folder's name that the terminal cannot print, settings in files, no standard error."""
    Path("matplotlibrc").write_text("image.origin: lower\nsavefig.bbox: tight\n")
    settings = {"floatx": "float64", "epsilon": 0.01, "image_data_format": "channels_first"}
    Path("keras.json").write_text(json.dumps(settings))
    changes = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "jax", "MATPLOTLIBRC": str(tmp_path)}
    changes |= {"PYTHONIOENCODING": "ascii", "TQDM_DESC": "x", "TQDM_DISABLE": "1"}
    Path("surrounded.py").write_text(SURROUNDED)
    options = (SCRIPT, *whole[1], "--output-dir", "결과")
    code, out, err = run_command(*options, script="surrounded.py", **changes)
    assert code == 0 and out.startswith(r"\uacb0\uacfc: 0 epochs done"), out + err
    assert results(whole[0]) == results("결과")


def test_another_backend_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ImportError, match="another backend"):
        exec(SCRIPT.read_text(encoding="utf-8"), {"__name__": "script"})


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that is in use")
def test_a_removed_working_folder_a_long_strange_name_and_code_without_a_file(
    small, train, tmp_path
):
    del small.__file__
    Path("gone").mkdir()
    os.chdir("gone")
    os.rmdir(tmp_path / "gone")
    folder = tmp_path.joinpath(*["a [long] name\nof many * letters ?" * 6] * 4)
    for epochs in (1, 2):
        train(epochs, folder, resume=epochs > 1)
    assert "checkpoint.npz" in contents(folder) and "script.py" not in contents(folder)
