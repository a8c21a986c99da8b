"""The three networks, held against Keras's own counts and the tutorial's numbers."""

import timeit

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_networks

import mnist_gan


@pytest.fixture(scope="module")
def networks():
    keras.utils.set_random_seed(1)
    return make_networks()


def test_layers(networks):
    generator, discriminator, gan = networks
    for network, units, extra, activation, count in (
        (generator, [256, 512, 1024, 784], [], keras.activations.tanh, 1_486_352),
        (discriminator, [1024, 512, 256, 1], ["Dropout"], keras.activations.sigmoid, 1_460_225),
    ):
        kinds = [type(layer).__name__ for layer in network.layers]
        assert kinds == ["Dense", "LeakyReLU", *extra] * 3 + ["Dense"]
        dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
        assert [layer.units for layer in dense] == units and network.count_params() == count
        linear = [keras.activations.linear] * 3
        assert [layer.activation for layer in dense] == [*linear, activation]
    for layer in generator.layers + discriminator.layers:
        assert getattr(layer, "negative_slope", 0.2) == pytest.approx(0.2)
        assert getattr(layer, "rate", 0.3) == 0.3
    assert generator.input_shape == gan.input_shape == (None, 100)
    assert discriminator.input_shape == (None, 784) and gan.output_shape == (None, 1)


def test_initial_weights(networks):
    for network in networks[:2]:
        first, *others = network.get_weights()[::2]
        assert first.mean() == pytest.approx(0, abs=5e-4)
        assert first.std() == pytest.approx(0.02, rel=0.02)
        assert np.abs(first).max() > 0.06  # normal, and not cut off at two deviations
        for weight in others:  # Keras's default, Glorot's uniform distribution
            limit = np.sqrt(6 / sum(weight.shape))
            assert np.abs(weight).max() <= limit
            assert weight.std() == pytest.approx(limit / np.sqrt(3), rel=0.1)
        assert not any(bias.any() for bias in network.get_weights()[1::2])


def test_the_gan_chains_the_two_and_freezes_the_discriminator(networks):
    generator, discriminator, gan = networks
    noise = np.random.RandomState(2).normal(0, 50, (64, 100))
    images = generator.predict_on_batch(noise)
    assert images.min() < -0.9 and images.max() > 0.9
    probability = discriminator.predict_on_batch(images)
    assert gan.predict_on_batch(noise) == pytest.approx(probability, abs=1e-5)
    assert [id(w) for w in gan.trainable_weights] == [id(w) for w in generator.trainable_weights]


def test_loss_and_optimizer(networks):
    adam = networks[0].optimizer
    for network in networks:
        assert network.loss == "binary_crossentropy" and network.optimizer is adam
    assert type(adam) is keras.optimizers.Adam
    assert float(adam.learning_rate) == pytest.approx(0.0002)
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.5, 0.999, 1e-7)


@pytest.mark.parametrize("rate", [0.3, 0.0123])
def test_dropout_rate_and_scale(rate):
    layer = mnist_gan.get_discriminator(mnist_gan.get_optimizer()).layers[2]
    layer.rate = rate
    x = np.ones((1000, 512), np.float32)
    kept = np.asarray(layer(x, training=True))
    assert np.unique(kept) == pytest.approx([0, 1 / (1 - rate)])
    assert (kept == 0).mean() == pytest.approx(rate, abs=0.003)
    # Every unit and every image is dropped about as often; neighbours are independent.
    for axis in (0, 1):
        assert (kept == 0).mean(axis) == pytest.approx(rate, abs=0.12)
    assert abs(np.corrcoef(kept[:, :-1].ravel(), kept[:, 1:].ravel())[0, 1]) < 0.01
    assert (np.asarray(layer(x, training=True)) != kept).mean() > rate  # fresh bits every time
    assert (np.asarray(layer(x, training=False)) == 1).all()


@pytest.mark.skipif(not mnist_gan.xla_works(), reason="Keras's Dropout is slow under XLA only")
def test_dropout_is_much_faster_than_kerass_under_xla():
    """A fortieth of the time, here; bits that are drawn in another way cost all of that."""

    def seconds(layer):
        call = tf.function(lambda: layer(tf.ones((256, 1024)), training=True), jit_compile=True)
        call()  # compiles
        return min(timeit.repeat(call, number=1, repeat=10))

    assert seconds(mnist_gan.Dropout(0.3)) < seconds(keras.layers.Dropout(0.3)) / 5


def test_star_import_brings_the_tutorials_names_only():
    names = {}
    exec("from mnist_gan import *", names)
    functions = ["load_mnist_data", "get_optimizer", "get_generator", "get_discriminator"]
    functions += ["get_gan_network", "plot_generated_images", "train"]
    assert names.keys() - {"__builtins__"} == {*functions, "random_dim"}
    lines = [names[name].__code__.co_firstlineno for name in functions]
    assert lines == sorted(lines)  # in the tutorial's order
