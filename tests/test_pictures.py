"""The sheets, curves and GIF: what they show, whatever the reader's settings are."""

from pathlib import Path

import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import contents
from PIL import Image

import mnist_gan


class Generator:
    """Stands in for a generator: of every image, one part is black and one is half grey."""

    def predict_on_batch(self, noise):
        self.noise = noise
        images = np.full((len(noise), 28, 28), -1.0)
        images[:, 4:8, 4:8] = 1
        images[:, 20:24, 4:8] = 0
        return images.reshape(-1, 784)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    plt.switch_backend("agg")
    yield
    assert plt.get_fignums() == []


def test_a_sheet_has_a_million_pixels_and_a_hundred_digits_dark_on_white():
    mnist_gan.plot_generated_images(3, Generator(), output_dir="new/folder")
    image = Image.open("new/folder/gan_generated_image_epoch_3.png")
    sheet = np.asarray(image.convert("L")).astype(int)
    assert sheet.shape == (1000, 1000)
    for ink in (sheet == 0, abs(sheet - 127) < 4):  # each grey means the same in all cells
        starts = [np.sum(np.diff(ink.any(axis=axis).astype(int)) == 1) for axis in (0, 1)]
        assert starts == [10, 10] and not ink[0].any()


def test_every_picture_shows_the_same_noise_and_draws_none_from_numpys_generator():
    first, second = Generator(), Generator()
    np.random.seed(1)
    for generator in (first, second):
        mnist_gan.plot_generated_images(1, generator, 6, (2, 3), (6, 4), ".")
    assert np.random.random() == np.random.RandomState(1).random_sample()
    assert first.noise.shape == (6, 100) and np.array_equal(first.noise, second.noise)


HOSTILE = {"image.origin": "lower", "image.interpolation": "bilinear", "text.usetex": True}
HOSTILE |= {"savefig.bbox": "tight", "savefig.dpi": 30, "savefig.facecolor": "black"}
HOSTILE |= {"figure.autolayout": True, "font.family": "no such font", "axes.facecolor": "red"}


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
        mnist_gan.plot_generated_images(1, Generator(), dim=(3, 3), output_dir=".")
    Path("gan_generated_image_epoch_1.png").mkdir()
    with pytest.raises(OSError, match="gan_generated_image_epoch_1.png"):
        mnist_gan.plot_generated_images(1, Generator(), output_dir=".")


def test_sheets_after_the_first_every_nth_and_the_last_epoch_and_a_gif_of_all(train):
    train(5, "out")
    names = [f"gan_generated_image_epoch_{epoch}.png" for epoch in (1, 2, 4, 5)]
    assert sorted(name for name in contents("out") if "image_epoch" in name) == names
    generator = keras.models.load_model("out/generator.keras", compile=False)
    noise = np.random.RandomState(0).normal(0, 1, size=[100, 100])
    digits = generator.predict_on_batch(noise).reshape(10, 10, 28, 28)
    expected = (1 - digits.swapaxes(1, 2).reshape(280, 280)) / 2  # 0 is black
    gif = Image.open("out/gan_training.gif")
    assert gif.n_frames == 5
    gif.seek(4)
    assert np.abs(np.asarray(gif.convert("L")) / 255 - expected).mean() < 0.05


def test_the_curves_are_drawn_after_every_epoch(train):
    train(1, "out", sample_every=9)
    before = contents("out", "loss.png")
    train(2, "out", sample_every=9, resume=True)
    assert before != contents("out", "loss.png")
