"""Does it work at all? One epoch through `train`, and the command once, from another folder."""

import hashlib
import json

import keras
import numpy as np
from conftest import SCRIPT, read_losses, run_python
from PIL import Image

import mnist_gan

FILES = ["checkpoint.lock", "checkpoint.npz", "gan_generated_image_epoch_1.png", "gan_loss.csv"]
FILES += ["gan_loss.png", "gan_training.gif", "generator.keras", "run.json"]


def test_one_epoch(tmp_path, npz):
    losses = mnist_gan.train(1, 100, data=npz, output_dir=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    (row,) = read_losses(tmp_path / "out")
    for name, values in losses.items():
        assert values.shape == (3,) and values.dtype == np.float32 and (values > 0).all()
        assert abs(values.mean() - float(row[name])) < 1e-5
    with Image.open(tmp_path / "out" / "gan_generated_image_epoch_1.png") as picture:
        assert picture.size == (1000, 1000)


def test_the_command_from_another_folder(tmp_path):
    """The run that the README opens with, on a small part of the data."""
    options = ["--data", "drawn", "--limit", "1280", "--epochs", "2"]
    code, out, err = run_python(SCRIPT, *options, cwd=tmp_path)
    assert code == 0, err
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    outputs = tmp_path / "outputs"
    last = "gan_generated_image_epoch_2.png"
    assert sorted(path.name for path in outputs.iterdir()) == sorted([*FILES, last])

    rows, lines = read_losses(outputs), out.splitlines()
    assert len(rows) == len(lines) == 2
    for epoch, (row, line) in enumerate(zip(rows, lines), start=1):
        assert list(row) == ["epoch", "d_loss", "g_loss", "seconds"] and row["epoch"] == str(epoch)
        d_loss, g_loss, seconds = (float(row[name]) for name in list(row)[1:])
        assert 0 < d_loss < 10 and 0 < g_loss < 10 and seconds > 0
        assert line == f"epoch {epoch}/2: d_loss {d_loss:.3f}, g_loss {g_loss:.3f}, {seconds:.1f} s"
    assert "Epoch 1/2:   0%" in err and "Traceback" not in err

    about = json.loads((outputs / "run.json").read_text())
    assert about["arguments"]["epochs"] == 2 and about["arguments"]["limit"] == 1280
    assert about["data"] == "drawn" and about["versions"]["keras"] == keras.__version__
    # Another process drew the same digits.
    digits = mnist_gan.load_mnist_data("drawn")[0][:1280]
    assert about["sha256"] == hashlib.sha256(digits).hexdigest()

    generator = keras.models.load_model(outputs / "generator.keras")  # no name of this project
    assert generator.predict_on_batch(np.zeros((2, 100))).shape == (2, 784)
