"""Where the digits come from, and what is said of files that do not hold any."""

import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import write_npz

import mnist_gan


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
    images = (x_test.reshape(-1, 784)[:2000] - 127.5) / 127.5
    nearest = ((images[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert np.mean(nearest == y_test[:2000]) > 0.9  # one can learn to read them ...
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
    "empty": lambda: Path("bad.npz").write_bytes(b""),
    "truncated": lambda: os.truncate(write_npz("bad.npz"), 200_000),
    "a missing array": arrays(y_test=None),
    "images of another size": arrays(x_train=np.zeros((300, 32, 32), np.uint8)),
    "images as floats": arrays(x_train=np.zeros((300, 28, 28))),
    "fewer labels than images": arrays(y_train=np.zeros(299, np.uint8)),
    "labels one-hot": arrays(y_train=np.zeros((300, 10), np.uint8)),
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
