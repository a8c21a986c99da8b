"""What surrounds the script changes nothing and breaks nothing, and is left as it was."""

import json
import os
import shutil
import subprocess
import sys

import keras
import pytest
from helpers import SCRIPT, check_same_results, contents, run_command


def test_settings_of_keras_change_nothing_and_float32_stays(train, tmp_path):
    train(1, tmp_path / "plain")
    try:
        keras.config.set_floatx("float64")
        keras.config.set_epsilon(0.01)
        for policy in ("mixed_float16", "float64"):
            keras.config.set_dtype_policy(policy)
            train(1, tmp_path / policy)
            assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"
            check_same_results(tmp_path / "plain", tmp_path / policy)
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        keras.config.set_epsilon(1e-7)


def test_a_foreign_terminal_home_and_standard_error(whole, tmp_path):
    """A folder's name that the terminal cannot print, settings in files, no standard error."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "matplotlibrc").write_text("image.origin: lower\nsavefig.bbox: tight\n")
    settings = {"floatx": "float64", "epsilon": 0.01, "image_data_format": "channels_first"}
    (home / "keras.json").write_text(json.dumps(settings))
    changes = {"KERAS_HOME": str(home), "KERAS_BACKEND": "jax", "MATPLOTLIBRC": str(home)}
    changes |= {"PYTHONIOENCODING": "ascii", "TQDM_DESC": "x", "TQDM_MININTERVAL": "3"}
    close = "import os, runpy, sys; os.close(2); sys.stderr = None; del sys.argv[0]; "
    (tmp_path / "closed.py").write_text(close + "runpy.run_path(sys.argv[0], run_name='__main__')")
    options = (SCRIPT, *whole[1], "--output-dir", "결과")
    code, out, err = run_command(*options, cwd=tmp_path, script="closed.py", **changes)
    assert code == 0 and out.startswith(r"\uacb0\uacfc: 0 epochs done"), out + err
    check_same_results(whole[0], tmp_path / "결과")


IMPORT = """
import os, signal, sys
before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
sys.path.insert(0, {folder!r})
sys.dont_write_bytecode = True
import mnist_gan
assert os.listdir() == [], os.listdir()
assert before == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
"""


def test_an_import_prints_and_writes_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    line = [sys.executable, "-c", IMPORT.format(folder=str(SCRIPT.parent))]
    done = subprocess.run(line, cwd=tmp_path / "empty", capture_output=True, text=True)
    ours = [row for row in done.stderr.splitlines() if "mnist_gan" in row]
    assert (done.returncode, done.stdout, ours) == (0, "", [])


def test_another_backend_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ImportError, match="another backend"):
        exec(compile(SCRIPT.read_text(encoding="utf-8"), "script", "exec"), {"__name__": "script"})


def test_code_that_has_no_file_trains_too(small, npz, tmp_path):
    del small.__file__
    small.train(1, 150, data=npz, output_dir=tmp_path / "out")
    assert "script.py" not in contents(tmp_path / "out")


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that is in use")
def test_a_removed_working_folder(train, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    train(1, tmp_path / "out")
    assert (tmp_path / "out" / "checkpoint.npz").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows limits a path to 260 characters")
def test_a_folder_with_a_long_and_strange_name(train, tmp_path):
    folder = tmp_path.joinpath(*["a [long] name\nof many * letters ?" * 6] * 4)
    train(1, folder)
    train(2, folder, resume=True)
    assert (folder / "checkpoint.npz").exists()
