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
        self.noise = []

    def predict_on_batch(self, noise):
        self.noise.append(noise)
        return self.images


def plot(tmp_path, images, **arguments):
    generator = Stub(images)
    mnist_gan.plot_generated_images(20, generator, output_dir=tmp_path, **arguments)
    (path,) = tmp_path.iterdir()
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


def test_other_numbers_of_examples(tmp_path):
    _, picture, generator = plot(
        tmp_path, np.ones((14, 784)), examples=14, dim=(3, 5), figsize=(5, 3)
    )
    assert picture.shape == (300, 500)
    assert generator.noise[0].shape == (14, 100)
    cells = picture.reshape(3, 100, 5, 100).mean(axis=(1, 3)).ravel()
    assert (cells[:14] < 0.3).all() and cells[14] == 1


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


def test_curves(tmp_path):
    path = tmp_path / "curves.png"
    mnist_gan.save_curves(path, [0.5, 0.6, 0.6], [1.0, 2.0, 1.5])
    with Image.open(path) as picture:
        assert picture.size == (800, 450)
        colours = {colour for count, colour in picture.convert("RGB").getcolors(2**20)}
    assert {(0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E), (0x80, 0x80, 0x80)} <= colours  # three lines


def test_gif(tmp_path):
    random = np.random.RandomState(0)
    images = random.uniform(-1, 1, (3, 100, 784))
    path = tmp_path / "training.gif"
    mnist_gan.save_gif(path, [mnist_gan.draw_frame(x, e) for e, x in enumerate(images, start=1)])
    with Image.open(path) as gif:
        assert gif.n_frames == 3 and gif.info["loop"] == 0
        captions = []
        for e in range(3):
            gif.seek(e)
            assert gif.info["duration"] == (2000 if e == 2 else 100)
            frame = np.asarray(gif.convert("L")) / 255
            captions.append(frame[282:])
            assert frame.shape == (300, 280)
            # Eight greys: a pixel is off by half a step at the most.
            assert frame[:28, :28] == pytest.approx(
                (1 - images[e, 0].reshape(28, 28)) / 2, abs=0.09
            )
            assert frame[252:280, 28:56] == pytest.approx(
                (1 - images[e, 91].reshape(28, 28)) / 2, abs=0.09
            )
    assert all(caption.min() < 0.3 and caption.max() == 1 for caption in captions)
    assert not np.array_equal(captions[0], captions[1])


def test_a_gif_of_400_epochs_stays_under_10_mb(tmp_path):
    """With frames of speckled strokes, as a trained generator makes them."""
    (x, _), _ = mnist_gan.draw_digits(1000, 1)
    random = np.random.RandomState(0)
    images = x.reshape(10, 100, 784) / 127.5 - 1
    images = np.where(random.uniform(size=images.shape) < 0.05, -images, images)
    frames = [mnist_gan.draw_frame(images[e % 10], e) for e in range(1, 401)]
    mnist_gan.save_gif(tmp_path / "training.gif", frames)
    assert (tmp_path / "training.gif").stat().st_size < 10e6
    with Image.open(tmp_path / "training.gif") as gif:
        assert gif.n_frames == 400
