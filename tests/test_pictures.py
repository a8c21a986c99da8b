"""The sheets, curves and GIF: what they show, whatever the reader's settings are."""

import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import contents, pictures
from PIL import Image

import mnist_gan

NAME = "gan_generated_image_epoch_3.png"


class Generator:
    """Stands in for a generator: it makes one image of every noise vector, ink at a known place."""

    def __init__(self):
        self.noise = []

    def predict_on_batch(self, noise):
        self.noise.append(noise)
        images = -np.ones((len(noise), 28, 28), np.float32)
        images[:, 4:8, 4:8] = 1  # black
        images[:, 20:24, 4:8] = 0  # half grey
        return images.reshape(-1, 784)


@pytest.fixture
def agg():
    """Draw without a display; a desktop's backend would open windows."""
    backend = matplotlib.get_backend()
    plt.switch_backend("agg")
    yield
    plt.switch_backend(backend)


@pytest.fixture
def sheet(agg, tmp_path):
    mnist_gan.plot_generated_images(3, Generator(), output_dir=tmp_path)
    with Image.open(tmp_path / NAME) as image:
        return np.asarray(image.convert("L"))


def test_a_sheet_has_a_million_pixels_and_a_hundred_digits_dark_on_white(sheet):
    assert sheet.shape == (1000, 1000)
    assert all(edge.min() == 255 for edge in (sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1]))
    for ink in (sheet == 0, abs(sheet.astype(int) - 127) < 4):  # each grey means the same in all
        rows, columns = ink.any(axis=1), ink.any(axis=0)
        starts = [int(np.sum(np.diff(line.astype(int)) == 1)) for line in (rows, columns)]
        assert starts == [10, 10]


def test_every_picture_shows_the_same_noise_and_draws_none_from_numpys_generator(agg, tmp_path):
    generator = Generator()
    np.random.seed(1)
    for epoch in (1, 2):
        mnist_gan.plot_generated_images(epoch, generator, output_dir=tmp_path)
    assert np.random.random() == np.random.RandomState(1).random_sample()
    first, second = generator.noise
    assert first.shape == (100, 100) and np.array_equal(first, second)
    assert abs(first.mean()) < 0.05 and abs(first.std() - 1) < 0.05


HOSTILE = {"image.origin": "lower", "image.interpolation": "bilinear", "text.usetex": True}
HOSTILE |= {"savefig.bbox": "tight", "savefig.dpi": 30, "savefig.facecolor": "black"}
HOSTILE |= {"figure.autolayout": True, "font.family": "no such font", "axes.facecolor": "red"}


def test_matplotlibs_settings_change_no_picture_and_stay_as_they_are(small, train, agg, tmp_path):
    small.plot_generated_images = mnist_gan.plot_generated_images
    train(1, tmp_path / "plain")
    with matplotlib.rc_context(HOSTILE):
        before = dict(matplotlib.rcParams)
        train(1, tmp_path / "hostile")
        assert dict(matplotlib.rcParams) == before
    assert pictures(tmp_path / "plain") == pictures(tmp_path / "hostile")


def test_no_figure_stays_open(agg, tmp_path):
    mnist_gan.plot_generated_images(1, Generator(), output_dir=tmp_path)
    with pytest.raises(ValueError):
        mnist_gan.plot_generated_images(1, Generator(), dim=(3, 3), output_dir=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        mnist_gan.plot_generated_images(1, Generator(), output_dir=tmp_path / "file")
    assert plt.get_fignums() == []


def test_other_numbers_of_digits_and_sizes(agg, tmp_path):
    mnist_gan.plot_generated_images(3, Generator(), 6, (2, 3), (6, 4), tmp_path / "new" / "folder")
    with Image.open(tmp_path / "new" / "folder" / NAME) as image:
        assert image.size == (600, 400)


def test_pictures_come_after_the_first_every_nth_and_the_last_epoch(train, tmp_path):
    train(5, tmp_path / "out")
    names = [name for name in contents(tmp_path / "out") if "image_epoch" in name]
    expected = [f"gan_generated_image_epoch_{epoch}.png" for epoch in (1, 2, 4, 5)]
    assert sorted(names) == expected


def test_the_gif_has_a_frame_an_epoch_of_the_same_noise(train, tmp_path):
    train(3, tmp_path / "out")
    generator = keras.models.load_model(tmp_path / "out" / "generator.keras", compile=False)
    noise = np.random.RandomState(0).normal(0, 1, size=[100, 100])
    digits = generator.predict_on_batch(noise).reshape(10, 10, 28, 28)
    expected = (digits.swapaxes(1, 2).reshape(280, 280) + 1) / -2 + 1  # 0 is black
    with Image.open(tmp_path / "out" / "gan_training.gif") as gif:
        assert gif.n_frames == 3 and gif.info["loop"] == 0
        gif.seek(2)
        last = np.asarray(gif.convert("L"))[:280] / 255
    assert np.abs(last - expected).mean() < 0.05


def test_the_curves_are_drawn_after_every_epoch(train, tmp_path):
    shown = []
    for epochs in (1, 2):
        train(epochs, tmp_path / "out", resume=epochs > 1, sample_every=9)
        with Image.open(tmp_path / "out" / "gan_loss.png") as image:
            assert image.size == (800, 450)
            shown.append(image.tobytes())
    assert shown[0] != shown[1]
