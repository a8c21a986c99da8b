"""Loading, the offline path, drawn digits, and files that are not what they should be."""

import hashlib
import socket

import numpy as np
import pytest
from conftest import run_python, run_script

import mnist_gan


def test_scaling_types_and_shapes(npz):
    x = np.zeros((7, 28, 28), np.uint8)
    x[:, 0, 0] = 255
    x[:, 0, 1] = 51
    y = np.arange(7, dtype=np.uint8)
    x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data(npz(x_train=x, y_train=y))
    assert x_train.dtype == np.float32 and x_train.shape == (7, 784)
    assert (x_train[:, 0] == 1).all() and (x_train[:, 2:] == -1).all()
    assert x_train[:, 1] == pytest.approx(51 / 127.5 - 1)
    assert (y_train == y).all()
    assert x_test.dtype == np.uint8 and x_test.shape == (20, 28, 28) and y_test.shape == (20,)


def test_mnist_comes_from_keras(monkeypatch):
    x, y = np.full((3, 28, 28), 255, np.uint8), np.array([1, 2, 3], np.uint8)
    timeouts = []

    def load():
        timeouts.append(socket.getdefaulttimeout())
        return (x, y), (x[:1], y[:1])

    monkeypatch.setattr(mnist_gan.mnist, "load_data", load)
    for data in ("auto", "mnist"):
        x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data(data)
        assert (x_train == 1).all() and x_train.shape == (3, 784)
        assert y_train is y and x_test.shape == (1, 28, 28) and y_test.shape == (1,)
    assert all(0 < timeout < 60 for timeout in timeouts)  # no network may hang a run


def test_offline_auto_draws_and_says_so():
    timeout = socket.getdefaulttimeout()
    with pytest.warns(UserWarning) as caught:
        x_train, *_ = mnist_gan.load_mnist_data("auto")
    assert len(x_train) >= 10_000
    (message,) = [str(warning.message) for warning in caught]
    for words in ("Name or service not known", "drawn digits", "--data PATH"):
        assert words in message
    assert "\n" not in message
    assert socket.getdefaulttimeout() == timeout


@pytest.fixture
def few_digits(monkeypatch):
    draw_digits = mnist_gan.draw_digits
    monkeypatch.setattr(mnist_gan, "draw_digits", lambda: draw_digits(100, 10))


def test_offline_says_so_every_time(few_digits):
    for _ in range(2):
        with pytest.warns(UserWarning, match="drawn digits"):
            mnist_gan.load_mnist_data("auto")


def test_offline_mnist_is_an_error():
    with pytest.raises(OSError, match="Name or service not known.*--data PATH"):
        mnist_gan.load_mnist_data("mnist")


def test_a_broken_download_draws_too(monkeypatch, few_digits):
    def fail():
        raise ValueError("Incomplete or corrupted file detected.\nThe hash does not match.")

    monkeypatch.setattr(mnist_gan.mnist, "load_data", fail)
    with pytest.warns(UserWarning, match="corrupted file detected. The hash"):
        mnist_gan.load_mnist_data("auto")


def test_drawn_digits_are_like_mnist():
    before = np.random.get_state()[1].copy()
    (x_train, y_train), (x_test, y_test) = mnist_gan.draw_digits()
    assert (np.random.get_state()[1] == before).all()
    for x, y, least in ((x_train, y_train, 10_000), (x_test, y_test, 1_000)):
        assert x.dtype == y.dtype == np.uint8
        assert x.shape == (len(y), 28, 28) and len(y) >= least
        assert sorted(set(y)) == list(range(10))
        assert np.bincount(y).min() > 0.08 * len(y)
    # MNIST's own figures: mean 33.3, 13% of the pixels dark, centre of mass in the middle.
    assert x_train.mean() == pytest.approx(33.3, rel=0.1)
    assert (x_train > 127).mean() == pytest.approx(0.13, abs=0.02)
    ink = x_train[:2000] / x_train[:2000].sum(axis=(1, 2), keepdims=True)
    centres = (ink * (np.arange(28) + 0.5)).sum(axis=(1, 2))
    assert centres.mean() == pytest.approx(14, abs=0.1) and 0.3 < centres.std() < 1
    assert not ((x_train[:2000] > 0).sum(axis=(1, 2)) == 0).any()
    assert len(np.unique(x_train[:2000].reshape(2000, -1), axis=0)) == 2000


def test_drawn_digits_can_be_told_apart():
    (x_train, y_train), (x_test, y_test) = mnist_gan.draw_digits(3000, 300)
    x_train, x_test = (x.reshape(len(x), 784) / np.float32(255) for x in (x_train, x_test))
    distance = (x_train**2).sum(axis=1) - 2 * x_test @ x_train.T  # squared, up to a constant
    nearest = y_train[distance.argmin(axis=1)]
    assert (nearest == y_test).mean() > 0.95


def test_drawn_digits_are_the_same_bytes_in_another_process(tmp_path):
    (images, _), _ = mnist_gan.draw_digits(2000, 10)
    code = (
        "import hashlib, mnist_gan;"
        "print(hashlib.sha256(mnist_gan.draw_digits(2000, 10)[0][0]).hexdigest())"
    )
    digest = run_python(code, cwd=tmp_path).stdout.strip()
    assert digest == hashlib.sha256(images).hexdigest()


def test_import_does_nothing(tmp_path):
    done = run_python("import mnist_gan", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


IMAGES = np.zeros((5, 28, 28), np.uint8)
BAD_ARRAYS = {
    "an array missing": ({"y_test": None}, "y_test"),
    "flat images": ({"x_train": np.zeros((300, 784), np.uint8)}, "x_train.*784"),
    "float images": ({"x_train": np.zeros((300, 28, 28))}, "x_train.*float64"),
    "no images": ({"x_train": IMAGES[:0], "y_train": np.zeros(0, int)}, "x_train"),
    "labels of another length": ({"y_train": np.zeros(5, np.uint8)}, "y_train.*300"),
    "labels not whole": ({"y_test": np.zeros(20)}, "y_test.*float64"),
    "other test images": ({"x_test": np.zeros((20, 32, 32), np.uint8)}, "x_test.*32"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays(npz, case):
    changes, message = BAD_ARRAYS[case]
    with pytest.raises(ValueError, match=message):
        mnist_gan.load_mnist_data(npz(**changes))


class Bomb:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["x_train", "y_test"])
def test_pickled_objects_are_never_unpickled(npz, tmp_path, name):
    bomb = np.array([Bomb(str(tmp_path / "unpickled"))], dtype=object)
    with pytest.raises(ValueError, match="data.npz"):
        mnist_gan.load_mnist_data(npz(**{name: bomb}))
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("keep", [0, 10, 1000, 0.5, 0.999])
def test_truncated_files(npz, keep):
    path = npz()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises(ValueError, match="data.npz.* not a whole .npz"):
        mnist_gan.load_mnist_data(path)


def test_flipped_bits_are_noticed(npz):
    path = npz()
    content = bytearray(path.read_bytes())
    content[5000] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match="data.npz"):
        mnist_gan.load_mnist_data(path)


def test_files_that_are_not_npz(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "one.npy", IMAGES)
    for name in ("text.npz", "one.npy"):
        with pytest.raises(ValueError, match=name):
            mnist_gan.load_mnist_data(tmp_path / name)
    with pytest.raises(ValueError, match="folder"):
        mnist_gan.load_mnist_data(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere.npz.*auto, mnist or drawn"):
        mnist_gan.load_mnist_data(str(tmp_path / "nowhere.npz"))


def test_exit_code_of_a_bad_file_as_a_user_sees_it(tmp_path):
    (tmp_path / "bad.npz").write_text("hello")
    done = run_script("--data", "bad.npz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mnist_gan.py: error: data 'bad.npz'")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]
