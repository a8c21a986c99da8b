"""Pictures, curves and the GIF, read back with Pillow."""

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

import mnist_gan


class Stub:
    """A generator that returns given images and keeps the noise it was asked for."""

    def __init__(self, images):
        self.images = images
        self.noise = []

    def predict_on_batch(self, noise):
        self.noise.append(noise)
        return self.images


def plot(folder, images, **arguments):
    generator = Stub(images)
    mnist_gan.plot_generated_images(20, generator, output_dir=folder, **arguments)
    (path,) = folder.iterdir()
    return path.name, np.asarray(Image.open(path).convert("L")) / 255, generator


def test_a_sheet_is_ten_by_ten_digits_dark_on_white(tmp_path):
    images = np.full((100, 784), -1.0, np.float32)
    images[0] = images[37] = images[99] = 1.0
    name, picture, _ = plot(tmp_path / "new" / "folder", images)
    assert name == "gan_generated_image_epoch_20.png"
    assert picture.shape == (1000, 1000)
    cells = picture.reshape(10, 100, 10, 100).mean(axis=(1, 3)).ravel()
    dark = {i for i in range(100) if cells[i] < 0.5}
    assert dark == {0, 37, 99}
    assert (cells[[i for i in range(100) if i not in dark]] == 1).all()
    assert picture[:3].min() == picture[:, -3:].min() == 1  # white edges


def test_a_digit_keeps_its_orientation_and_greys(tmp_path):
    image = np.tile(np.linspace(-1, 1, 28), (28, 1))  # darker to the right
    image[:14] = -1  # the upper half is white
    _, picture, _ = plot(tmp_path, np.tile(image.ravel(), (100, 1)))
    cell = picture[:100, :100]
    assert (cell[10:45] == 1).all()
    assert cell[70, 15] > cell[70, 50] > cell[70, 85]
    assert cell[70, 50] == pytest.approx(0.5, abs=0.06)


def test_values_beyond_the_range_stay_black_and_white(tmp_path):
    images = np.repeat([[-3.0], [3.0]], 784, axis=1)
    _, picture, _ = plot(tmp_path, images, examples=2, dim=(1, 2), figsize=(2, 1))
    assert picture[50, 50] == 1 and picture[50, 150] == 0


def test_other_numbers_of_examples(tmp_path):
    images = np.ones((14, 784))
    _, picture, generator = plot(tmp_path, images, examples=14, dim=(3, 5), figsize=(5, 3))
    assert picture.shape == (300, 500)
    assert generator.noise[0].shape == (14, 100)
    cells = picture.reshape(3, 100, 5, 100).mean(axis=(1, 3)).ravel()
    assert (cells[:14] < 0.3).all() and cells[14] == 1
    with pytest.raises(ValueError, match="14.* 9|14.*9,"):
        plot(tmp_path, images, examples=14, dim=(3, 3))


def test_pictures_share_their_noise_and_leave_no_trace(tmp_path):
    np.random.seed(3)
    before = np.random.get_state()[1:]
    images = np.zeros((100, 784))
    noise = [plot(tmp_path / str(i), images)[2].noise[0] for i in range(2)]
    assert (noise[0] == noise[1]).all() and noise[0].shape == (100, 100)
    assert abs(noise[0].mean()) < 0.03 and abs(noise[0].std() - 1) < 0.03
    for old, new in zip(before, np.random.get_state()[1:]):
        assert np.array_equal(old, new)
    assert plt.get_fignums() == []


def still_run(folder, npz, epochs, monkeypatch):
    """Train without learning anything: every epoch ends with the same generator."""
    monkeypatch.setattr(mnist_gan, "get_optimizer", lambda: keras.optimizers.Adam(0.0))
    mnist_gan.train(epochs, 100, data=npz, output_dir=folder)


def test_the_gif_shows_every_epoch_with_the_noise_of_the_sheets(
    small_networks, monkeypatch, tmp_path, npz
):
    still_run(tmp_path / "out", npz, 3, monkeypatch)
    sheet = Image.open(tmp_path / "out" / "gan_generated_image_epoch_3.png").convert("L")
    with Image.open(tmp_path / "out" / "gan_training.gif") as gif:
        assert gif.n_frames == 3 and gif.info["loop"] == 0
        frames, durations = [], []
        for frame in range(3):
            gif.seek(frame)
            durations.append(gif.info["duration"])
            frames.append(np.asarray(gif.convert("L"), int))
    assert durations[:2] == [500, 500] and durations[2] == 2000  # milliseconds
    assert frames[0].shape == (330, 310)
    digits, captions = [f[:310] for f in frames], [f[310:] for f in frames]
    assert (digits[0] == digits[1]).all() and (digits[1] == digits[2]).all()
    assert not (captions[0] == captions[1]).all() and captions[0].min() < 90
    # Few greys, so a pixel is off by a step at the most; white gaps keep the digits apart.
    small = np.asarray(sheet.resize((310, 310), Image.NEAREST), int)
    assert np.abs(small - digits[0]).mean() < 12
    assert digits[0][::31].min() > 240 and digits[0][:, ::31].min() > 240


def test_curves(small_networks, monkeypatch, tmp_path, npz):
    still_run(tmp_path / "out", npz, 2, monkeypatch)
    with Image.open(tmp_path / "out" / "gan_loss.png") as picture:
        assert picture.size == (800, 450)
        colours = {colour for count, colour in picture.convert("RGB").getcolors(2**20)}
    assert {(0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E), (0x80, 0x80, 0x80)} <= colours  # three lines


def test_a_long_gif_stays_small(small_networks, monkeypatch, tmp_path, npz):
    """400 epochs of speckled strokes, as a trained generator makes them, take less than 10 MB."""
    x = mnist_gan.load_mnist_data("drawn")[2]
    random = np.random.RandomState(0)
    sheets = x[:1000].reshape(10, 100, 784) / 127.5 - 1
    sheets = np.where(random.uniform(size=sheets.shape) < 0.05, -sheets, sheets)
    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda *_: sheets[random.randint(10)])
    mnist_gan.train(50, 300, data=npz, output_dir=tmp_path / "out", sample_every=50)
    assert (tmp_path / "out" / "gan_training.gif").stat().st_size < 10e6 / 400 * 50
