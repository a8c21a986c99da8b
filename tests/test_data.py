"""Where the digits come from, and what is said of files that do not hold any."""

import zipfile

import keras
import numpy as np
import pytest
from helpers import write_npz

import mnist_gan


def test_images_are_scaled_to_the_range_of_tanh(npz):
    x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data(npz)
    with np.load(npz) as file:
        raw = file["x_train"].reshape(300, 784)
        assert np.array_equal(y_train, file["y_train"])
        assert np.array_equal(x_test, file["x_test"]) and np.array_equal(y_test, file["y_test"])
    assert x_train.dtype == np.float32 and (x_train.min(), x_train.max()) == (-1, 1)
    assert x_train == pytest.approx(raw / 127.5 - 1, abs=1e-6)


@pytest.mark.parametrize("data", ["auto", "mnist"])
def test_mnist_comes_from_keras(monkeypatch, npz, data):
    with np.load(npz) as file:
        digits = (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: digits)
    x_train, _, x_test, _ = mnist_gan.load_mnist_data(data)
    assert x_train.shape == (300, 784) and np.array_equal(x_test, digits[1][0])


def test_auto_without_a_network_says_so_and_draws(capsys, drawn):
    found = mnist_gan.load_mnist_data("auto")
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and len(err) < 120
    assert "MNIST is not available" in err and "Name or service" in err and "drawn" in err
    assert all(np.array_equal(a, b) for a, b in zip(found, drawn))


def test_mnist_without_a_network_is_an_error():
    with pytest.raises(OSError, match="MNIST is not available.*--data"):
        mnist_gan.load_mnist_data("mnist")


def test_drawn_digits_look_like_mnist_to_a_program(drawn):
    x_train, y_train, x_test, y_test = drawn
    assert (x_train.shape, x_test.shape) == ((60_000, 784), (10_000, 28, 28))
    assert (x_test.dtype, y_train.dtype, y_test.dtype) == (np.uint8, np.uint8, np.uint8)
    assert np.bincount(y_train).min() > 5_000 and np.bincount(y_train).size == 10
    means = np.array([x_train[y_train == digit].mean(axis=0) for digit in range(10)])
    images = (x_test.reshape(-1, 784)[:2000] - 127.5) / 127.5
    nearest = ((images[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert np.mean(nearest == y_test[:2000]) > 0.9  # one can learn to read them ...
    assert len(np.unique(x_test[y_test == 5], axis=0)) > 500  # ... and they are not all the same


def damage(path, kind):
    """Put something at the path that is no good data file."""
    write_npz(path)
    whole = path.read_bytes()
    if kind == "a folder":
        path.unlink()
        path.mkdir()
    elif kind == "raw bytes":
        with zipfile.ZipFile(path, "w") as file:
            for name in ("x_train", "y_train", "x_test", "y_test"):
                file.writestr(f"{name}.npy", b"some bytes")
    elif kind == "an array alone":
        np.save(path.with_suffix(".npy"), np.zeros(3))
        path.with_suffix(".npy").rename(path)
    else:
        path.write_bytes({"empty": b"", "text": b"digits", "truncated": whole[:-5000]}[kind])


KINDS = ["a folder", "raw bytes", "an array alone", "empty", "text", "truncated"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file(tmp_path, kind):
    damage(tmp_path / "bad.npz", kind)
    with pytest.raises(ValueError, match=r"bad\.npz"):
        mnist_gan.load_mnist_data(tmp_path / "bad.npz")


ARRAYS = {
    "a missing array": {"y_test": None},
    "images of another size": {"x_train": np.zeros((300, 32, 32), np.uint8)},
    "images as floats": {"x_train": np.zeros((300, 28, 28))},
    "fewer labels than images": {"y_train": np.zeros(299, np.uint8)},
    "labels one-hot": {"y_train": np.zeros((300, 10), np.uint8)},
    "no test images": {"x_test": np.zeros((0, 28, 28), np.uint8), "y_test": np.zeros(0, np.uint8)},
    "pickled objects": {"y_train": np.array([{}] * 300)},
}


@pytest.mark.parametrize("arrays", ARRAYS)
def test_a_file_with_other_arrays(tmp_path, arrays):
    path = write_npz(tmp_path / "other.npz", **ARRAYS[arrays])
    with pytest.raises(ValueError, match=r"other\.npz"):
        mnist_gan.load_mnist_data(path)


def test_what_else_a_file_holds_is_not_looked_at(tmp_path):
    names = np.array(["zero", {}], dtype=object)
    path = write_npz(tmp_path / "more.npz", class_names=names)
    assert mnist_gan.load_mnist_data(path)[0].shape == (300, 784)


@pytest.mark.parametrize("path", ["", "nowhere.npz", "Auto"])
def test_a_file_that_is_not_there(path):
    with pytest.raises(FileNotFoundError, match=f"'{path}'.*auto, mnist, drawn"):
        mnist_gan.load_mnist_data(path)


def test_too_little_memory_stays_a_memory_error(monkeypatch, npz):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(MemoryError):
        mnist_gan.load_mnist_data(npz)
