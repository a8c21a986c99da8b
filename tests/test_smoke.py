"""Does it work at all? A run through `train`, and the command once, from another folder."""

import hashlib
import json
import re

import keras
import numpy as np
from conftest import SCRIPT, read_losses, run_python
from PIL import Image

FILES = ["checkpoint.lock", "checkpoint.npz", "gan_generated_image_epoch_1.png"]
FILES += ["gan_generated_image_epoch_2.png", "gan_loss.csv", "gan_loss.png", "gan_training.gif"]
FILES += ["generator.keras", "run.json"]


def test_train_returns_and_saves_every_loss(whole):
    _, folder, losses = whole
    last = "gan_generated_image_epoch_4.png"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, last])
    with Image.open(folder / last) as picture:
        assert picture.size == (1000, 1000)
    assert list(losses) == ["d_loss", "g_loss"]
    for name, values in losses.items():
        assert values.shape == (4 * (300 // 16),) and values.dtype == np.float32
        assert np.isfinite(values).all() and (values > 0).all()
        means = [float(row[name]) for row in read_losses(folder)]
        assert np.abs(values.reshape(4, -1).mean(axis=1) - means).max() < 1e-5


def test_the_command_from_another_folder(drawn, tmp_path):
    """The run that the README opens with, on a small part of the data."""
    options = ["--data", "drawn", "--limit", "1280", "--epochs", "2"]
    code, out, err = run_python(SCRIPT, *options, cwd=tmp_path, TQDM_MININTERVAL="0")
    assert code == 0, err
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    outputs = tmp_path / "outputs"
    assert sorted(path.name for path in outputs.iterdir()) == FILES

    rows, lines = read_losses(outputs), out.splitlines()
    assert len(rows) == len(lines) == 2
    for epoch, (row, line) in enumerate(zip(rows, lines), start=1):
        assert list(row) == ["epoch", "d_loss", "g_loss", "seconds"] and row["epoch"] == str(epoch)
        shown = re.fullmatch(rf"epoch {epoch}/2: d_loss (.{{5}}), g_loss (.{{5}}), (.+\..) s", line)
        saved = [float(row[name]) for name in list(row)[1:]]
        assert np.abs(np.array(shown.groups(), float) - saved).max() < 0.06 and min(saved) > 0
    assert "Epoch 1/2:   0%" in err and ", d_loss 0." in err and "Traceback" not in err

    about = json.loads((outputs / "run.json").read_text())
    assert about["arguments"]["epochs"] == 2 and about["arguments"]["limit"] == 1280
    assert about["data"] == "drawn" and about["versions"]["keras"] == keras.__version__
    # Another process drew the same digits.
    assert about["sha256"] == hashlib.sha256(drawn[0][:1280]).hexdigest()

    generator = keras.models.load_model(outputs / "generator.keras")  # no name of this project
    assert generator.predict_on_batch(np.zeros((2, 100))).shape == (2, 784)
