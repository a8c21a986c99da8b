"""Loading, the offline path, drawn digits, and files that are not what they should be."""

import socket
import warnings
import zipfile

import numpy as np
import pytest
from conftest import write_npz
from PIL import ImageFont

import mnist_gan


def test_scaling_types_and_shapes(tmp_path):
    x, y = np.zeros((7, 28, 28), np.uint8, order="F"), np.arange(7, dtype=">i8")
    x[:, 0, :2] = 255, 51
    path = write_npz(tmp_path / "data.npz", x_train=x, y_train=y, more="text")
    x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data(path)
    assert x_train.dtype == np.float32 and x_train.shape == (7, 784)
    assert x_train[3, :2] == pytest.approx([1, 51 / 127.5 - 1]) and (x_train[:, 2:] == -1).all()
    assert x_test.dtype == np.uint8 and x_test.shape == (20, 28, 28)
    assert (y_train == y).all() and y_test.shape == (20,)


def test_mnist_comes_from_keras_and_never_hangs(monkeypatch):
    x, y = np.full((3, 28, 28), 255, np.uint8), np.array([1, 2, 3], np.uint8)
    before, timeouts = socket.getdefaulttimeout(), []

    def load():
        timeouts.append(socket.getdefaulttimeout())
        return (x, y), (x[:1], y[:1])

    monkeypatch.setattr(mnist_gan.mnist, "load_data", load)
    for data in ("auto", "mnist"):
        x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data(data)
        assert (x_train == np.ones((3, 784))).all() and x_test.shape == (1, 28, 28)
        assert (y_train == y).all() and y_test.shape == (1,)
    assert all(0 < timeout < 60 for timeout in timeouts)
    assert socket.getdefaulttimeout() == before


def test_offline_auto_draws_and_says_so_each_time(drawn, monkeypatch):
    before = np.random.get_state()[1].copy()
    with warnings.catch_warnings(record=True) as caught:
        assert (mnist_gan.load_mnist_data("auto")[0] == drawn[0]).all()
        monkeypatch.setattr(ImageFont, "truetype", lambda *_: 1 / 0)  # one drawing is enough
        with pytest.raises(ZeroDivisionError):
            mnist_gan.load_mnist_data("auto")
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2 and len(messages[0]) < 200 and "\n" not in messages[0]
    for words in ("Name or service not known", "drawn digits", "--data PATH", "data=PATH"):
        assert words in messages[0]
    assert (np.random.get_state()[1] == before).all()


def test_drawn_digits_are_like_mnist(drawn):
    x_train, y_train, x_test, y_test = drawn
    assert x_train.shape == (60_000, 784) and x_test.shape == (10_000, 28, 28)
    assert x_test.dtype == y_train.dtype == y_test.dtype == np.uint8
    for y, count in ((y_train, 60_000), (y_test, 10_000)):
        assert len(y) == count and (np.bincount(y, minlength=10) > 0.09 * count).all()
    # MNIST's own figures: mean 33.3, 13% of the pixels dark, centre of mass in the middle.
    x_train = np.round((x_train + 1) * 127.5)
    assert x_train.mean() == pytest.approx(33.3, rel=0.1)
    assert (x_train > 127).mean() == pytest.approx(0.13, abs=0.02)
    ink = x_test / x_test.sum(axis=(1, 2), keepdims=True)
    centres = (ink * (np.arange(28) + 0.5)).sum(axis=(1, 2))
    assert centres.mean() == pytest.approx(14, abs=0.5) and 0.5 < centres.std() < 1.5
    x_test = x_test.reshape(10_000, 784).astype(float)
    assert len(np.unique(x_test[:2000], axis=0)) == 2000
    # They can be told apart: most test images have a training image of their label nearest.
    x, x_test = x_train[:3000], x_test[:300]
    distance = (x**2).sum(axis=1) - 2 * x_test @ x.T  # squared, up to a constant
    assert (y_train[distance.argmin(axis=1)] == y_test[:300]).mean() > 0.9


class Bomb:
    """Leaves a file behind if it is ever unpickled."""

    def __reduce__(self):
        return open, ("unpickled", "w")


BAD_ARRAYS = {
    "an array missing": ({"y_test": None}, "lacks y_test; it holds x_train, y_train, x_test"),
    "flat images": ({"x_train": np.zeros((300, 784), np.uint8)}, "300, 784"),
    "float images": ({"x_train": np.zeros((300, 28, 28))}, "float64"),
    "no images": ({"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0)}, r"\(0, 28"),
    "labels of another length": ({"y_train": np.zeros(5, np.uint8)}, r"\(300, .*\(5,\)"),
    "labels in a column": ({"y_train": np.zeros((300, 1), int)}, r"\(300, 1\)"),
    "other test images": ({"x_test": np.zeros((20, 32, 32), np.uint8)}, "32"),
    "pickled images": ({"x_train": np.array([Bomb()])}, "is not a complete .npz"),
    "pickled labels": ({"y_test": np.array([Bomb()])}, "is not a complete .npz"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused_and_never_unpickled(monkeypatch, tmp_path, case):
    monkeypatch.chdir(tmp_path)
    changes, message = BAD_ARRAYS[case]
    with pytest.raises(ValueError, match=f"data.npz.*{message}"):
        mnist_gan.load_mnist_data(write_npz("data.npz", **changes))
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


def test_damaged_and_foreign_files_are_refused(npz, tmp_path):
    content = npz.read_bytes()
    for length in (0, 10, 1000, len(content) // 2, len(content) - 9):
        (tmp_path / f"cut_{length}.npz").write_bytes(content[:length])
    npz.write_bytes(content[:5000] + b"\1\2\3" + content[5003:])  # flipped bits
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "folder.npz").mkdir()
    np.save(tmp_path / "one.npy", np.zeros((5, 28, 28), np.uint8))
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", b"\0" * 784)  # no array
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=path.name):
            mnist_gan.load_mnist_data(path)
    with pytest.raises(FileNotFoundError, match="nowhere.npz.*auto, mnist or drawn"):
        mnist_gan.load_mnist_data(str(tmp_path / "nowhere.npz"))
