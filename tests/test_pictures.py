"""Pictures, curves and the GIF, read back with Pillow."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

import mnist_gan


class Stub:
    """A generator that returns given images and keeps the noise it was asked for."""

    def __init__(self, images):
        self.images = images

    def predict_on_batch(self, noise):
        self.noise = noise
        return self.images


def plot(folder, images, **arguments):
    """Return the picture of the images, 0 for black and 1 for white, and the noise."""
    generator = Stub(images)
    mnist_gan.plot_generated_images(20, generator, output_dir=folder, **arguments)
    picture = Image.open(folder / "gan_generated_image_epoch_20.png").convert("L")
    return np.asarray(picture) / 255, generator.noise


def test_a_sheet_is_ten_by_ten_digits_dark_on_white(tmp_path):
    images = np.full((100, 784), -1.0, np.float32)
    images[0] = images[37] = images[99] = 1.0
    picture, _ = plot(tmp_path / "new" / "folder", images)
    assert picture.shape == (1000, 1000)
    cells = picture.reshape(10, 100, 10, 100).mean(axis=(1, 3)).ravel()
    assert set(np.flatnonzero(cells < 0.5)) == {0, 37, 99} and (cells == 1).sum() == 97
    assert picture[:3].min() == picture[:, -3:].min() == 1  # white edges


def test_a_digit_keeps_its_orientation_and_greys(tmp_path):
    image = np.tile(np.linspace(-1.5, 1.5, 28), (28, 1))  # darker to the right, beyond the range
    image[:14] = -1  # the upper half is white
    picture, _ = plot(tmp_path, np.tile(image.ravel(), (100, 1)))
    row = picture[70, :100]
    assert (picture[10:45, :100] == 1).all()
    assert row[5] == 1 and row[30] > row[50] > row[65] and row[90] == 0
    assert row[50] == pytest.approx(0.5, abs=0.06)


def test_other_numbers_of_examples(tmp_path):
    picture, noise = plot(tmp_path, np.ones((14, 784)), examples=14, dim=(3, 5), figsize=(5, 3))
    assert picture.shape == (300, 500) and noise.shape == (14, 100)
    cells = picture.reshape(3, 100, 5, 100).mean(axis=(1, 3)).ravel()
    assert (cells[:14] < 0.3).all() and cells[14] == 1
    with pytest.raises(ValueError, match="14 images"):
        plot(tmp_path, np.ones((14, 784)), examples=14, dim=(3, 3))


def test_pictures_share_their_noise_and_leave_no_trace(tmp_path):
    before = np.random.get_state()[1:3]
    first, second = (plot(tmp_path, np.zeros((100, 784)))[1] for _ in range(2))
    assert (first == second).all() and first.shape == (100, 100)
    assert abs(first.mean()) < 0.03 and abs(first.std() - 1) < 0.03
    assert all(map(np.array_equal, before, np.random.get_state()[1:3]))
    assert plt.get_fignums() == []


def test_the_curves_and_the_gif(still, tmp_path, npz):
    """The generator stays as it is, so every frame shows the digits of the sheet."""
    mnist_gan.train(3, 100, data=npz, output_dir=tmp_path)
    with Image.open(tmp_path / "gan_loss.png") as picture:
        assert picture.size == (800, 450)
        colours = {colour for count, colour in picture.convert("RGB").getcolors(2**20)}
    assert {(0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E), (0x80, 0x80, 0x80)} <= colours  # three lines

    frames = []
    with Image.open(tmp_path / "gan_training.gif") as gif:
        assert (gif.n_frames, gif.info["loop"], gif.size) == (3, 0, (310, 330))
        for frame, duration in enumerate((500, 500, 2000)):  # milliseconds
            gif.seek(frame)
            assert gif.info["duration"] == duration
            frames.append(np.asarray(gif.convert("L"), int))
    digits, captions = np.split(np.array(frames), [310], axis=1)
    assert (digits[0] == digits).all() and captions.min() < 128
    assert not (captions[0] == captions[1]).all() and not (captions[1] == captions[2]).all()
    # Few greys, so a pixel is off by a step at the most; white gaps keep the digits apart.
    sheet = Image.open(tmp_path / "gan_generated_image_epoch_3.png").convert("L")
    small = np.asarray(sheet.resize((310, 310), Image.NEAREST), int)
    assert np.abs(small - digits[0]).mean() < 12
    assert digits[0][::31].min() > 240 and digits[0][:, ::31].min() > 240
