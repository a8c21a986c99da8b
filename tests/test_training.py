"""What training does: learns, alternates, is reproducible, and leaves the files it promises."""

import gc
import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import (
    at_epoch,
    make_networks,
    pictures,
    read_losses,
    remove_xla,
    saved_weights,
)

import mnist_gan


@pytest.fixture
def networks(monkeypatch):
    """Collect the networks that `train` makes: a list of (generator, discriminator, gan)."""
    made = []
    get_gan_network = mnist_gan.get_gan_network

    def get_and_keep(discriminator, random_dim, generator, optimizer):
        gan = get_gan_network(discriminator, random_dim, generator, optimizer)
        made.append((generator, discriminator, gan))
        return gan

    monkeypatch.setattr(mnist_gan, "get_gan_network", get_and_keep)
    return made


def test_it_learns_the_data(networks, tmp_path):
    mnist_gan.train(2, 48, data="drawn", limit=4_800, output_dir=tmp_path)
    data = mnist_gan.load_mnist_data("drawn")[0].mean(axis=0)
    noise = np.random.RandomState(5).normal(0, 1, (500, 100))

    def correlation(generator):
        return np.corrcoef(generator.predict_on_batch(noise).mean(axis=0), data)[0, 1]

    assert correlation(networks[0][0]) > 0.7
    assert abs(correlation(mnist_gan.get_generator(mnist_gan.get_optimizer()))) < 0.5


def test_the_step_is_compiled_where_it_can_be(monkeypatch):
    """On a TensorFlow without XLA, compiling raises and all else works."""
    function, compiled = tf.function, []

    def record(*arguments, jit_compile=None, **options):
        compiled.append(jit_compile)
        return function(*arguments, jit_compile=jit_compile, **options)

    def refuse(*arguments, jit_compile=None, **options):
        if jit_compile:
            raise tf.errors.UnimplementedError(None, None, "no XLA on this platform")
        return record(*arguments, jit_compile=jit_compile, **options)

    batch = np.zeros((8, 100)), np.zeros((8, 784), np.float32), np.ones((8, 100))
    networks = make_networks()
    for tf_function, expected in ((record, True), (refuse, False)):
        monkeypatch.setattr(tf, "function", tf_function)
        step = mnist_gan.get_train_step(*networks, 8)
        assert bool(compiled[-1]) is expected
    assert np.isfinite(step(*batch)).all()


@pytest.mark.parametrize("xla", [True, False], ids=["xla", "no xla"])
def test_each_network_changes_in_its_own_part_of_the_step_only(monkeypatch, xla):
    """Seen with optimizers of their own: at a learning rate of 0 a network stays as it is."""
    if not xla:
        remove_xla(monkeypatch)
    batch = np.zeros((8, 100)), np.zeros((8, 784), np.float32), np.ones((8, 100))
    for rates in ((0.0, 0.001), (0.001, 0.0)):
        g_adam, d_adam = (keras.optimizers.Adam(rate) for rate in rates)
        generator = mnist_gan.get_generator(g_adam)
        discriminator = mnist_gan.get_discriminator(d_adam)
        gan = mnist_gan.get_gan_network(discriminator, 100, generator, g_adam)
        step = mnist_gan.get_train_step(generator, discriminator, gan, 8)
        for _ in range(2):
            before = [network.get_weights() for network in (generator, discriminator)]
            step(*batch)
            for network, old, rate in zip((generator, discriminator), before, rates):
                changed = [(a != b).any() for a, b in zip(network.get_weights(), old)]
                assert any(changed) == (rate > 0)


def test_train_equals_the_loop_by_hand_dropout_included(tmp_path, npz):
    losses = mnist_gan.train(2, 64, data=npz, seed=3, output_dir=tmp_path / "out")
    images = mnist_gan.load_mnist_data(npz)[0]

    keras.utils.set_random_seed(3)
    generator, discriminator, gan = make_networks()
    by_hand = []
    for _ in range(2 * (len(images) // 64)):
        noise = np.random.normal(0, 1, size=[64, 100])
        image_batch = images[np.random.randint(0, len(images), size=64)]
        x = np.concatenate([image_batch, generator.predict_on_batch(noise)])
        discriminator.trainable = True
        d_loss = discriminator.train_on_batch(x, np.repeat([0.9, 0.0], 64))
        noise = np.random.normal(0, 1, size=[64, 100])
        discriminator.trainable = False
        by_hand.append([d_loss, gan.train_on_batch(noise, np.ones(64))])
    for name, expected in zip(("d_loss", "g_loss"), np.transpose(by_hand)):
        assert losses[name] == pytest.approx(expected, rel=1e-3)


def test_same_seed_same_bytes_other_seed_others(no_xla, networks, tmp_path, npz):
    arguments = {"epochs": 1, "batch_size": 64, "data": npz}
    runs = {}
    for name, seed in (("first", 3), ("same", 3), ("other", 4)):
        keras.utils.set_random_seed(99)  # what went before does not matter
        runs[name] = mnist_gan.train(**arguments, seed=seed, output_dir=tmp_path / name)
    for name in ("d_loss", "g_loss"):
        assert np.array_equal(runs["first"][name], runs["same"][name])
        assert not np.isclose(runs["first"][name], runs["other"][name], rtol=1e-3).all()
    for first, same, other in zip(*[n[1].get_weights() for n in networks]):
        assert np.array_equal(first, same) and not np.allclose(first, other)
    assert pictures(tmp_path / "first") == pictures(tmp_path / "same")


def test_history_and_arguments_by_position(small_networks, tmp_path, npz):
    losses = mnist_gan.train(2, 100, data=npz, output_dir=tmp_path / "out")
    assert sorted(losses) == ["d_loss", "g_loss"]
    for values in losses.values():
        assert values.shape == (6,) and np.isfinite(values).all() and (values > 0).all()
    for epoch, row in enumerate(read_losses(tmp_path / "out")):
        assert row["epoch"] == str(epoch + 1)
        for name, values in losses.items():
            mean = values[3 * epoch : 3 * epoch + 3].mean()
            assert float(row[name]) == pytest.approx(mean, abs=1e-5)


def train_on(monkeypatch, x, y, folder, **arguments):
    """Train on given arrays; return run.json."""
    monkeypatch.setattr(mnist_gan, "load_mnist_data", lambda data: (x, y, x[:1], y[:1]))
    losses = mnist_gan.train(2, output_dir=folder, **arguments)
    assert np.isfinite(losses["d_loss"]).all()
    return losses, json.loads((folder / "run.json").read_text())


def test_limit(small_networks, monkeypatch, tmp_path):
    """The images after the first 130 are not numbers: one of them would spoil the losses."""
    x = np.zeros((300, 784), np.float32)
    x[130:] = np.nan
    y = np.zeros(300, np.uint8)
    losses, about = train_on(monkeypatch, x, y, tmp_path, batch_size=50, limit=130)
    assert len(losses["d_loss"]) == 2 * (130 // 50)
    assert about["sha256"] == hashlib.sha256(x[:130]).hexdigest()


def test_run_json_names_the_data(small_networks, monkeypatch, tmp_path, npz):
    x, y = np.zeros((10, 784), np.float32), np.array([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], np.uint8)
    for data, labels, source in (
        *(("auto", y, "MNIST"), ("mnist", y, "MNIST"), ("auto", y[::-1], "drawn")),
        *(("drawn", y[::-1], "drawn"), (npz, y, str(npz))),
    ):
        _, about = train_on(monkeypatch, x, labels, tmp_path, batch_size=5, data=data)
        assert about["data"] == source and about["arguments"]["data"] == str(data)


def test_the_saved_generator_is_the_trained_one(small_networks, networks, tmp_path, npz):
    mnist_gan.train(2, 100, data=npz, output_dir=tmp_path / "out")
    for saved, trained in zip(saved_weights(tmp_path / "out"), networks[0][0].get_weights()):
        assert np.array_equal(saved, trained)


def test_swapped_functions_are_used(small_networks, monkeypatch, tmp_path, npz):
    drawn = []
    monkeypatch.setattr(
        mnist_gan, "plot_generated_images", lambda epoch, *_, **__: drawn.append(epoch)
    )
    mnist_gan.train(7, 100, data=npz, sample_every=3, output_dir=tmp_path)
    assert drawn == [1, 3, 6, 7]
    assert sum(w.size for w in saved_weights(tmp_path)) == 100 * 8 + 8 + 8 * 784 + 784


def test_numpy_draws_are_the_tutorials(small_networks, tmp_path, npz):
    """Pictures, saving and all else in `train` take nothing from NumPy's global generator."""
    mnist_gan.train(2, 100, data=npz, seed=5, sample_every=1, output_dir=tmp_path)
    after = np.random.get_state()[1:3]
    np.random.seed(5)
    for _ in range(2 * 3):
        np.random.normal(0, 1, size=[100, 100])
        np.random.randint(0, 300, size=100)
        np.random.normal(0, 1, size=[100, 100])
    expected = np.random.get_state()[1:3]
    assert np.array_equal(after[0], expected[0]) and after[1] == expected[1]


def test_nothing_piles_up(small_networks, monkeypatch, tmp_path, npz):
    """Objects are counted, since the memory of a process depends on its allocator."""
    counts = []

    def count():
        gc.collect()
        counts.append(len(gc.get_objects()))

    for epoch in range(4, 17, 4):
        at_epoch(monkeypatch, epoch, count)
    mnist_gan.train(16, 100, data=npz, sample_every=1, output_dir=tmp_path)
    growth = np.diff(counts) / 4  # per epoch; a single Keras model is thousands of objects
    assert growth.min() < 200, growth
