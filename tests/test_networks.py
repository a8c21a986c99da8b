"""The three networks, held against Keras's own counts and the tutorial's numbers."""

import keras
import numpy as np
import pytest
from conftest import make_networks

import mnist_gan


@pytest.fixture(scope="module")
def networks():
    keras.utils.set_random_seed(1)
    return make_networks()


def kinds(network):
    return [
        next(kind.__name__ for kind in type(layer).__mro__ if kind.__module__.startswith("keras"))
        for layer in network.layers
    ]


def test_layers(networks):
    generator, discriminator, gan = networks
    assert kinds(generator) == ["Dense", "LeakyReLU"] * 3 + ["Dense"]
    assert kinds(discriminator) == ["Dense", "LeakyReLU", "Dropout"] * 3 + ["Dense"]
    assert [w.shape for w in generator.get_weights()[::2]] == [
        *((100, 256), (256, 512), (512, 1024), (1024, 784))
    ]
    assert [w.shape for w in discriminator.get_weights()[::2]] == [
        *((784, 1024), (1024, 512), (512, 256), (256, 1))
    ]
    assert gan.input_shape == (None, 100) and gan.output_shape == (None, 1)


def test_parameter_counts(networks):
    generator, discriminator, gan = networks
    assert generator.count_params() == 1_486_352
    assert discriminator.count_params() == 1_460_225
    assert gan.count_params() == 1_486_352 + 1_460_225


def test_activations_and_rates(networks):
    generator, discriminator, _ = networks
    assert generator.layers[-1].activation is keras.activations.tanh
    assert discriminator.layers[-1].activation is keras.activations.sigmoid
    for layer in generator.layers + discriminator.layers:
        if isinstance(layer, keras.layers.LeakyReLU):
            assert layer.negative_slope == pytest.approx(0.2)
        if isinstance(layer, keras.layers.Dropout):
            assert layer.rate == pytest.approx(0.3)


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
        for bias in network.get_weights()[1::2]:
            assert not bias.any()


def test_output_ranges(networks):
    generator, discriminator, gan = networks
    noise = np.random.RandomState(2).normal(0, 50, (64, 100))
    images = generator.predict_on_batch(noise)
    assert images.shape == (64, 784) and images.min() < -0.9 and images.max() > 0.9
    assert np.abs(images).max() <= 1
    for network, x in ((discriminator, images), (gan, noise)):
        probability = network.predict_on_batch(x)
        assert probability.shape == (64, 1)
        assert (probability >= 0).all() and (probability <= 1).all()


def test_loss_and_optimizer(networks):
    generator, discriminator, gan = networks
    for network in networks:
        assert network.loss == "binary_crossentropy"
        assert network.optimizer is gan.optimizer
    assert type(gan.optimizer) is keras.optimizers.Adam
    config = gan.optimizer.get_config()
    assert config["learning_rate"] == pytest.approx(0.0002)
    assert (config["beta_1"], config["beta_2"], config["epsilon"]) == (0.5, 0.999, 1e-7)


def test_the_discriminator_is_frozen_in_the_gan_only(networks):
    generator, _, gan = networks
    assert [id(w) for w in gan.trainable_weights] == [id(w) for w in generator.trainable_weights]


@pytest.mark.parametrize("rate", [0.3, 0.0123])
def test_dropout_rate_and_scale(rate):
    layer = mnist_gan.Dropout(rate, seed=4)
    x = np.ones((1000, 512), np.float32)
    kept = np.asarray(layer(x, training=True))
    assert np.unique(kept) == pytest.approx([0, 1 / (1 - rate)])
    assert (kept == 0).mean() == pytest.approx(rate, abs=0.003)
    # Every unit and every image is dropped about as often; neighbours are independent.
    assert (kept == 0).mean(axis=0) == pytest.approx(rate, abs=0.08)
    assert (kept == 0).mean(axis=1) == pytest.approx(rate, abs=0.12)
    pair = np.corrcoef(kept[:, :-1].ravel(), kept[:, 1:].ravel())[0, 1]
    assert pair == pytest.approx(0, abs=0.01)
    assert (np.asarray(layer(x, training=True)) != kept).mean() > rate  # fresh bits every time
    assert (np.asarray(layer(x, training=False)) == 1).all()


def test_star_import_brings_the_tutorials_names_only():
    names = {}
    exec("from mnist_gan import *", names)
    functions = ["load_mnist_data", "get_optimizer", "get_generator", "get_discriminator"]
    functions += ["get_gan_network", "plot_generated_images", "train"]
    assert sorted(names.keys() - {"__builtins__"}) == sorted([*functions, "random_dim"])
    lines = [names[name].__code__.co_firstlineno for name in functions]
    assert lines == sorted(lines)  # in the tutorial's order
