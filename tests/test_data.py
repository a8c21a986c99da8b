"""Loading, the offline path, drawn digits, and files that are not what they should be."""

import io
import socket
import warnings
import zipfile

import numpy as np
import pytest
from conftest import run_python, write_npz

import mnist_gan


def test_scaling_types_and_shapes(tmp_path):
    x = np.zeros((7, 28, 28), np.uint8)
    x[:, 0, 0] = 255
    x[:, 0, 1] = 51
    y = np.arange(7, dtype=np.uint8)
    path = write_npz(tmp_path / "data.npz", x_train=x, y_train=y)
    x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data(path)
    assert x_train.dtype == np.float32 and x_train.shape == (7, 784)
    assert (x_train[:, 0] == 1).all() and (x_train[:, 2:] == -1).all()
    assert x_train[:, 1] == pytest.approx(51 / 127.5 - 1)
    assert (y_train == y).all()
    assert x_test.dtype == np.uint8 and x_test.shape == (20, 28, 28) and y_test.shape == (20,)


def test_mnist_comes_from_keras(monkeypatch):
    x, y = np.full((3, 28, 28), 255, np.uint8), np.array([1, 2, 3], np.uint8)
    before, timeouts = socket.getdefaulttimeout(), []

    def load():
        timeouts.append(socket.getdefaulttimeout())
        return (x, y), (x[:1], y[:1])

    monkeypatch.setattr(mnist_gan.mnist, "load_data", load)
    for data in ("auto", "mnist"):
        x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data(data)
        assert (x_train == 1).all() and x_train.shape == (3, 784)
        assert y_train is y and x_test.shape == (1, 28, 28) and y_test.shape == (1,)
    assert all(0 < timeout < 60 for timeout in timeouts)  # no network may hang a run
    assert socket.getdefaulttimeout() == before


def test_offline_auto_draws_and_says_so_each_time():
    before = np.random.get_state()[1].copy()
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            x_train, *_ = mnist_gan.load_mnist_data("auto")
        (message,) = [str(warning.message) for warning in caught]
        for words in ("Name or service not known", "drawn digits", "--data PATH", "data=PATH"):
            assert words in message
        assert "\n" not in message and len(message) < 200
    assert (x_train == mnist_gan.load_mnist_data("drawn")[0]).all()
    assert (np.random.get_state()[1] == before).all()


def test_offline_mnist_is_an_error():
    with pytest.raises(OSError, match="Name or service not known.*--data PATH"):
        mnist_gan.load_mnist_data("mnist")


def test_drawn_digits_are_like_mnist():
    x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data("drawn")
    x_train = np.round((x_train + 1) * 127.5).reshape(-1, 28, 28)
    for x, y, count in ((x_train, y_train, 60_000), (x_test, y_test, 10_000)):
        assert x.shape == (count, 28, 28) and y.shape == (count,)
        assert y.dtype == np.uint8 and sorted(set(y)) == list(range(10))
        assert np.bincount(y).min() > 0.09 * count
    assert x_test.dtype == np.uint8
    # MNIST's own figures: mean 33.3, 13% of the pixels dark, centre of mass in the middle.
    assert x_train.mean() == pytest.approx(33.3, rel=0.1)
    assert (x_train > 127).mean() == pytest.approx(0.13, abs=0.02)
    ink = x_test / x_test.sum(axis=(1, 2), keepdims=True)
    centres = (ink * (np.arange(28) + 0.5)).sum(axis=(1, 2))
    assert centres.mean() == pytest.approx(14, abs=0.5) and 0.5 < centres.std() < 1.5
    assert len(np.unique(x_test[:2000].reshape(2000, -1), axis=0)) == 2000
    # They can be told apart: most test images have a training image of their label nearest.
    x_train, x_test = (x.reshape(len(x), 784)[:3000].astype(float) for x in (x_train, x_test))
    distance = (x_train**2).sum(axis=1) - 2 * x_test[:300] @ x_train.T  # squared, up to a constant
    assert (y_train[distance.argmin(axis=1)] == y_test[:300]).mean() > 0.9


def test_import_does_nothing(tmp_path):
    code = (
        "import signal, sys; signals = [signal.getsignal(s) for s in (2, 15)]; import mnist_gan;"
        "assert signals == [signal.getsignal(s) for s in (2, 15)]"
    )
    code, out, err = run_python("-c", code, cwd=tmp_path)
    assert (code, out) == (0, "") and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


IMAGES = np.zeros((5, 28, 28), np.uint8)
BAD_ARRAYS = {
    "an array missing": ({"y_test": None}, "lacks y_test; it holds x_train, y_train, x_test"),
    "flat images": ({"x_train": np.zeros((300, 784), np.uint8)}, "300, 784"),
    "float images": ({"x_train": np.zeros((300, 28, 28))}, "float64"),
    "no images": ({"x_train": IMAGES[:0], "y_train": np.zeros(0, int)}, r"\(0, 28, 28\)"),
    "labels of another length": ({"y_train": np.zeros(5, np.uint8)}, r"\(300, .*\(5,\)"),
    "labels in a column": ({"y_train": np.zeros((300, 1), int)}, r"\(300, 1\)"),
    "labels not whole": ({"y_test": np.zeros(20)}, "float64"),
    "other test images": ({"x_test": np.zeros((20, 32, 32), np.uint8)}, "32"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays(tmp_path, case):
    changes, message = BAD_ARRAYS[case]
    with pytest.raises(ValueError, match=f"data.npz.*{message}"):
        mnist_gan.load_mnist_data(write_npz(tmp_path / "data.npz", **changes))


class Bomb:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["x_train", "y_test"])
def test_pickled_objects_are_never_unpickled(tmp_path, name):
    bomb = np.array([Bomb(str(tmp_path / "unpickled"))], dtype=object)
    with pytest.raises(ValueError, match="data.npz"):
        mnist_gan.load_mnist_data(write_npz(tmp_path / "data.npz", **{name: bomb}))
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("keep", [0, 10, 1000, 0.5, 0.999])
def test_truncated_files(npz, keep):
    whole = npz.read_bytes()
    npz.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises(ValueError, match="data.npz is not a complete .npz"):
        mnist_gan.load_mnist_data(npz)


def test_flipped_bits_are_noticed(npz):
    content = bytearray(npz.read_bytes())
    content[5000] ^= 255
    npz.write_bytes(content)
    with pytest.raises(ValueError, match="data.npz"):
        mnist_gan.load_mnist_data(npz)


def test_files_that_are_not_npz(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "one.npy", IMAGES)
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", b"\0" * 784)  # no array
    (tmp_path / "folder.npz").mkdir()
    for name in ("text.npz", "one.npy", "raw.npz", "folder.npz"):
        with pytest.raises(ValueError, match=name):
            mnist_gan.load_mnist_data(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="nowhere.npz.*auto, mnist or drawn"):
        mnist_gan.load_mnist_data(str(tmp_path / "nowhere.npz"))


def test_unusual_but_right_files(npz, tmp_path):
    with np.load(npz) as file:
        arrays = dict(file)
    expected = mnist_gan.load_mnist_data(npz)[0]
    arrays["x_train"] = np.asfortranarray(arrays["x_train"])
    arrays["y_train"] = arrays["y_train"].astype(">i8")
    np.savez_compressed(tmp_path / "other.npz", more=io.BytesIO().getvalue(), **arrays)
    assert (mnist_gan.load_mnist_data(tmp_path / "other.npz")[0] == expected).all()
