"""What training does: learns, alternates, is reproducible, and leaves the files it promises."""

import gc
import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_networks, run, saved_weights

import mnist_gan


def test_it_learns_the_data(whole, drawn):
    """The pixels that are dark in the data get dark in what the trained generator writes."""
    trained = keras.models.load_model(whole[1] / "generator.keras")
    untrained = mnist_gan.get_generator(mnist_gan.get_optimizer())
    noise = np.random.RandomState(5).normal(0, 1, (500, 100))
    written, other = (g.predict_on_batch(noise).mean(axis=0) for g in (trained, untrained))
    assert np.corrcoef(written, drawn[0].mean(axis=0))[0, 1] > 0.5
    assert abs(np.corrcoef(other, drawn[0].mean(axis=0))[0, 1]) < 0.3


def test_train_equals_the_loop_by_hand_dropout_included(whole):
    data, _, losses = whole
    images = mnist_gan.load_mnist_data(data)[0]
    keras.utils.set_random_seed(3)
    generator, discriminator, gan = make_networks()
    for step in range(8):
        noise = np.random.normal(0, 1, size=[16, 100])
        image_batch = images[np.random.randint(0, len(images), size=16)]
        x = np.concatenate([image_batch, generator.predict_on_batch(noise)])
        discriminator.trainable = True
        d_loss = discriminator.train_on_batch(x, np.repeat([0.9, 0.0], 16))
        noise = np.random.normal(0, 1, size=[16, 100])
        discriminator.trainable = False
        g_loss = gan.train_on_batch(noise, np.ones(16))
        assert losses["d_loss"][step] == pytest.approx(d_loss, rel=1e-3)
        assert losses["g_loss"][step] == pytest.approx(g_loss, rel=1e-3)


@pytest.mark.parametrize("works", [True, False])
def test_the_step_is_compiled_where_it_can_be(monkeypatch, works):
    """On a TensorFlow without XLA, compiling raises and all else works."""
    function, compiled = tf.function, []

    def record(*arguments, jit_compile=None, **options):
        if jit_compile and not works:
            raise tf.errors.UnimplementedError(None, None, "no XLA on this platform")
        compiled.append(bool(jit_compile))
        return function(*arguments, jit_compile=jit_compile, **options)

    monkeypatch.setattr(tf, "function", record)
    mnist_gan.get_train_step(*make_networks(), 8)
    assert compiled[-1] is works


def test_another_seed_gives_another_run(small_networks, tmp_path, npz):
    first, other = (run(1, npz, tmp_path / str(seed), seed=seed) for seed in (3, 4))
    for name in ("d_loss", "g_loss"):
        assert not np.isclose(first[name], other[name], rtol=1e-4).any()
    assert np.isclose(*map(saved_weights, (tmp_path / "3", tmp_path / "4"))).mean() < 0.01


def test_run_json_names_the_data_and_limit_counts(still, monkeypatch, tmp_path, npz):
    x = np.linspace(-1, 1, 300 * 784, dtype=np.float32).reshape(300, 784)
    y = np.array([5, 0, 4, 1, 9, 2] * 50)
    for data, labels, source in (
        *(("auto", y, "MNIST"), ("mnist", y, "MNIST"), ("auto", y[::-1], "drawn")),
        *(("drawn", y[::-1], "drawn"), (npz, y, str(npz))),
    ):
        arrays = (x, labels, x, y)
        monkeypatch.setattr(mnist_gan, "load_mnist_data", lambda data, arrays=arrays: arrays)
        losses = run(np.int64(2), data, tmp_path, limit=130, batch_size=np.int32(50))
        assert losses["d_loss"].shape == (2 * (130 // 50),)
        about = json.loads((tmp_path / "run.json").read_text())
        assert about["data"] == source and about["arguments"]["data"] == str(data)
        assert about["sha256"] == hashlib.sha256(x[:130]).hexdigest()


def test_pictures_and_generator_of_the_right_epochs(small_networks, monkeypatch, tmp_path, npz):
    """With a function that a reader swapped in, as in a notebook."""
    drawn = []

    def note(epoch, generator, output_dir):
        drawn.append((epoch, np.concatenate([w.ravel() for w in generator.get_weights()])))

    monkeypatch.setattr(mnist_gan, "plot_generated_images", note)
    run(7, npz, tmp_path, sample_every=3)
    assert [epoch for epoch, _ in drawn] == [1, 3, 6, 7]
    saved = saved_weights(tmp_path)
    assert [np.array_equal(saved, weights) for _, weights in drawn] == [False] * 3 + [True]


def test_nothing_piles_up(small_networks, monkeypatch, tmp_path, npz):
    """Objects are counted, since the memory of a process depends on its allocator."""
    counts, plot = [], mnist_gan.plot_generated_images

    def count_and_plot(*arguments, **options):
        gc.collect()
        counts.append(len(gc.get_objects()))
        plot(*arguments, **options)

    monkeypatch.setattr(mnist_gan, "plot_generated_images", count_and_plot)
    run(9, npz, tmp_path, sample_every=3)
    growth = np.diff(counts[1:]) / 3  # per epoch; a single Keras model is thousands of objects
    assert growth.min() < 200, growth
