"""Digits that come in, from MNIST, files or fonts, and pictures that go out."""

import os
import zipfile
from pathlib import Path
from unittest import mock

import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import contents, write_npz
from PIL import Image

import mnist_gan

IMAGES = np.full((100, 28, 28), -1.0)
IMAGES[:, 20:24, 4:8] = 0  # half grey in all, black in every other one, as on a chessboard
IMAGES[[i for i in range(100) if (i // 10 + i) % 2], 4:8, 4:8] = 1


def generator():
    """Return a stand-in that draws known images and remembers the noise."""
    return mock.Mock(predict_on_batch=mock.Mock(side_effect=lambda noise: IMAGES[: len(noise)]))


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    plt.switch_backend("agg")
    yield
    assert plt.get_fignums() == []


def test_a_sheet_has_a_million_pixels_and_a_hundred_digits_dark_on_white():
    mnist_gan.plot_generated_images(3, generator(), output_dir="new/folder")
    image = Image.open("new/folder/gan_generated_image_epoch_3.png")
    sheet = np.asarray(image.convert("L")).astype(int)
    assert sheet.shape == (1000, 1000)
    for ink in (sheet == 0, abs(sheet - 127) < 4):  # each grey means the same in all cells
        starts = [np.sum(np.diff(ink.any(axis=axis).astype(int)) == 1) for axis in (0, 1)]
        assert starts == [10, 10] and not ink[0].any()


def test_every_picture_shows_the_same_noise_and_draws_none_from_numpys_generator():
    drawing = generator()
    np.random.seed(1)
    for epoch in (1, 2):
        mnist_gan.plot_generated_images(epoch, drawing, 6, (2, 3), (6, 4), ".")
    assert np.random.random() == np.random.RandomState(1).random_sample()
    first, second = (call.args[0] for call in drawing.predict_on_batch.call_args_list)
    assert first.shape == (6, 100) and np.array_equal(first, second)


HOSTILE = {"image.origin": "lower", "savefig.bbox": "tight", "text.usetex": True}


def test_matplotlibs_settings_change_no_picture_and_stay_as_they_are(small, train):
    small.plot_generated_images = mnist_gan.plot_generated_images
    train(1, "plain")
    with matplotlib.rc_context(HOSTILE):
        before = dict(matplotlib.rcParams)
        train(1, "hostile")
        assert dict(matplotlib.rcParams) == before
    assert contents("plain", (".png", ".gif")) == contents("hostile", (".png", ".gif"))


def test_a_sheet_that_cannot_be_drawn_or_saved():
    with pytest.raises(ValueError):
        mnist_gan.plot_generated_images(1, generator(), dim=(3, 3), output_dir=".")
    Path("gan_generated_image_epoch_1.png").mkdir()
    with pytest.raises(OSError, match="gan_generated_image_epoch_1.png"):
        mnist_gan.plot_generated_images(1, generator(), output_dir=".")


def test_sheets_after_the_first_every_nth_and_the_last_epoch_and_a_gif_of_all(train):
    train(1, "out")
    curves = contents("out", "loss.png")
    train(5, "out", resume=True)
    assert curves != contents("out", "loss.png")
    names = [f"gan_generated_image_epoch_{epoch}.png" for epoch in (1, 2, 4, 5)]
    assert sorted(name for name in contents("out") if "image_epoch" in name) == names
    trained = keras.models.load_model("out/generator.keras", compile=False)
    noise = np.random.RandomState(0).normal(0, 1, size=[100, 100])
    digits = trained.predict_on_batch(noise).reshape(10, 10, 28, 28)
    expected = (1 - digits.swapaxes(1, 2).reshape(280, 280)) / 2  # 0 is black
    gif = Image.open("out/gan_training.gif")
    assert gif.n_frames == 5
    gif.seek(4)
    assert np.abs(np.asarray(gif.convert("L")) / 255 - expected).mean() < 0.05


@pytest.mark.parametrize("data", ["auto", "mnist", "data.npz"])
def test_images_are_scaled_to_the_range_of_tanh_and_the_rest_is_as_it_was(monkeypatch, npz, data):
    with np.load(npz) as file:
        digits = (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: digits)
    x_train, *others = mnist_gan.load_mnist_data(data)
    assert x_train.dtype == np.float32 and (x_train.min(), x_train.max()) == (-1, 1)
    assert x_train == pytest.approx(digits[0][0].reshape(300, 784) / 127.5 - 1, abs=1e-6)
    assert all(np.array_equal(*pair) for pair in zip(others, [digits[0][1], *digits[1]]))


def test_auto_without_a_network_draws_digits_and_says_so_in_a_line(capsys):
    x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data("auto")
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and len(err) < 120
    assert "MNIST is not available" in err and "Name or service" in err and "drawn" in err
    assert (x_train.shape, x_test.shape) == ((60_000, 784), (10_000, 28, 28))
    assert (x_test.dtype, y_train.dtype, y_test.dtype) == (np.uint8, np.uint8, np.uint8)
    means = np.array([x_train[y_train == digit].mean(axis=0) for digit in range(10)])
    images = (x_test.reshape(-1, 784)[:500] - 127.5) / 127.5
    nearest = ((images[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert np.mean(nearest == y_test[:500]) > 0.9  # one can learn to read them ...
    assert len(np.unique(x_test[y_test == 5], axis=0)) > 500  # ... and they are not all the same


def arrays(**changes):
    return lambda: write_npz("bad.npz", **changes)


def raw_bytes():
    with zipfile.ZipFile("bad.npz", "w") as file:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            file.writestr(f"{name}.npy", b"some bytes")


BAD = {
    "raw bytes": raw_bytes,
    "an array alone": lambda: Path("bad.npz").write_bytes(b"\x93NUMPY\x01\x00v\x00{}"),
    "truncated": lambda: os.truncate(write_npz("bad.npz"), 200_000),
    "a missing array": arrays(y_test=None),
    "images of another size": arrays(x_train=np.zeros((300, 32, 32), np.uint8)),
    "no images": arrays(x_test=np.zeros((0, 28, 28), np.uint8), y_test=np.zeros(0, np.uint8)),
    "pickled objects": arrays(y_train=np.array([{}] * 300)),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_good_is_named(kind):
    BAD[kind]()
    with pytest.raises(ValueError, match=r"bad\.npz"):
        mnist_gan.load_mnist_data("bad.npz")


def test_what_else_a_file_holds_is_not_looked_at():
    write_npz("more.npz", class_names=np.array(["zero", {}], dtype=object))
    assert mnist_gan.load_mnist_data("more.npz")[0].shape == (300, 784)
