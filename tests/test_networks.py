"""The networks are the tutorial's, share one optimizer, and each step changes only its own."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import make_networks

import mnist_gan


@pytest.fixture
def networks(no_xla):
    return make_networks()


def layers(network):
    """Return what the tutorial says of each layer, as Keras describes it."""
    described = []
    for layer in network.layers:
        config = layer.get_config()
        if isinstance(layer, keras.layers.Dense):
            start = config["kernel_initializer"]
            stddev = start["config"].get("stddev")
            described.append((config["units"], config["activation"], start["class_name"], stddev))
        elif isinstance(layer, keras.layers.Dropout):
            described.append(("dropout", config["rate"]))
        else:
            described.append((type(layer).__name__, config["negative_slope"]))
    return described


def dense(units, activation="linear"):
    return (units, activation, "GlorotUniform", None)


def first(units):
    return (units, "linear", "RandomNormal", 0.02)


def test_the_layers_are_the_tutorials(networks):
    generator, discriminator, _ = networks
    leaky = ("LeakyReLU", pytest.approx(0.2))
    drop = ("dropout", 0.3)
    expected = [first(256), leaky, dense(512), leaky, dense(1024), leaky, dense(784, "tanh")]
    assert layers(generator) == expected
    expected = [first(1024), leaky, drop, dense(512), leaky, drop, dense(256), leaky, drop]
    assert layers(discriminator) == [*expected, dense(1, "sigmoid")]


def test_sizes_and_shapes(networks):
    generator, discriminator, gan = networks
    assert generator.count_params() == 1_486_352
    assert discriminator.count_params() == 1_460_225
    assert gan.count_params() == 1_486_352 + 1_460_225
    assert (generator.input_shape, generator.output_shape) == ((None, 100), (None, 784))
    assert (discriminator.input_shape, discriminator.output_shape) == ((None, 784), (None, 1))
    assert (gan.input_shape, gan.output_shape) == ((None, 100), (None, 1))


def test_one_adam_and_one_loss_for_all_three(networks):
    optimizers = {id(network.optimizer) for network in networks}
    assert len(optimizers) == 1 and {network.loss for network in networks} == {
        "binary_crossentropy"
    }
    adam = networks[0].optimizer.get_config()
    assert type(networks[0].optimizer) is keras.optimizers.Adam and adam["epsilon"] == 1e-7
    found = [adam[name] for name in ("learning_rate", "beta_1", "beta_2")]
    assert found == pytest.approx([0.0002, 0.5, 0.999])


def test_the_gan_is_the_discriminator_after_the_generator(networks):
    generator, discriminator, gan = networks
    noise = np.random.RandomState(0).normal(0, 1, (5, 100)).astype(np.float32)
    expected = discriminator.predict_on_batch(generator.predict_on_batch(noise))
    assert gan.predict_on_batch(noise) == pytest.approx(expected, abs=1e-6)
    assert not gan.layers[-1].trainable and not discriminator.trainable


def test_each_step_changes_its_own_network_only(networks):
    generator, discriminator, gan = networks
    random = np.random.RandomState(0)

    def changes(network, *batch):
        before = generator.get_weights(), discriminator.get_weights()
        network.train_on_batch(*batch)
        after = generator.get_weights(), discriminator.get_weights()
        return [{not np.array_equal(*pair) for pair in zip(*both)} for both in zip(before, after)]

    for _ in range(3):
        discriminator.trainable = True
        of_batch = random.normal(0, 1, (8, 784)), np.repeat([0.9, 0.0], 4)
        assert changes(discriminator, *of_batch) == [{False}, {True}]
        discriminator.trainable = False
        assert changes(gan, random.normal(0, 1, (8, 100)), np.ones(8)) == [{True}, {False}]


def test_what_trains_is_compiled_with_xla_where_it_works():
    _, discriminator, gan = make_networks()
    works = True
    try:
        tf.function(tf.nn.relu, jit_compile=True)(tf.zeros(3))
    except Exception:
        works = False
    assert bool(discriminator.jit_compile) == bool(gan.jit_compile) == works


def test_training_works_where_xla_does_not(monkeypatch, tmp_path, npz):
    function = tf.function

    def function_without_xla(*arguments, jit_compile=None, **options):
        if jit_compile:
            raise NotImplementedError("no XLA on this platform")
        return function(*arguments, **options)

    monkeypatch.setattr(tf, "function", function_without_xla)
    losses = mnist_gan.train(1, 150, data=npz, output_dir=tmp_path / "out")
    assert losses["d_loss"].shape == (2,)


@pytest.fixture
def dropout(networks):
    (layer, *_) = [n for n in networks[1].layers if isinstance(n, keras.layers.Dropout)]
    return layer


def test_dropout_keeps_seven_of_ten_scaled_and_differs_each_time(dropout):
    ones = np.ones((200, 500), np.float32)
    first, second = (np.asarray(dropout(ones, training=True)) for _ in range(2))
    assert not np.array_equal(first, second)
    for mask in (first, second):
        assert np.unique(mask) == pytest.approx([0, 1 / 0.7])
        assert np.mean(mask > 0) == pytest.approx(0.7, abs=0.01)
    assert np.array_equal(dropout(ones), ones)


def test_dropout_draws_with_philox_which_is_fast_under_xla(dropout):
    graph = tf.function(lambda x: dropout(x, training=True)).get_concrete_function(tf.ones((4, 4)))
    drawing = [op for op in graph.graph.get_operations() if "RandomUniform" in op.type]
    assert drawing
    for op in drawing:  # 1 is Philox; 3, "automatic", is what Keras's own layer asks for
        assert tf.get_static_value(op.inputs[-1]) == 1


def test_a_generator_with_dropout_can_be_saved_and_loaded(small, dropout, tmp_path):
    network = keras.Sequential([keras.Input((100,)), type(dropout)(0.5)])
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert loaded.layers[0].rate == 0.5
