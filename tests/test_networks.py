"""The networks are the tutorial's, share one optimizer, and each step changes only its own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mnist_gan

LEAKY, DROP, INIT = "LeakyReLU 0.2", "Dropout 0.3", "RandomNormal0.02"
GENERATOR = [f"256 linear {INIT}", LEAKY, "512 linear GlorotUniform", LEAKY]
GENERATOR += ["1024 linear GlorotUniform", LEAKY, "784 tanh GlorotUniform"]
DISCRIMINATOR = [f"1024 linear {INIT}", LEAKY, DROP, "512 linear GlorotUniform", LEAKY, DROP]
DISCRIMINATOR += ["256 linear GlorotUniform", LEAKY, DROP, "1 sigmoid GlorotUniform"]


@pytest.fixture
def networks():
    """Make generator, discriminator and gan as the tutorial does."""
    adam = mnist_gan.get_optimizer()
    generator = mnist_gan.get_generator(adam)
    discriminator = mnist_gan.get_discriminator(adam)
    return generator, discriminator, mnist_gan.get_gan_network(discriminator, 100, generator, adam)


def describe(layer):
    """Return what the tutorial says of a layer, as Keras has it."""
    config = layer.get_config()
    if isinstance(layer, keras.layers.Dropout):
        return f"Dropout {config['rate']}"
    if isinstance(layer, keras.layers.LeakyReLU):
        return f"LeakyReLU {config['negative_slope']:.1f}"
    start = config["kernel_initializer"]
    start = f"{start['class_name']}{start['config'].get('stddev', '')}"
    return f"{config['units']} {config['activation']} {start}"


def test_the_layers_the_loss_and_the_shared_adam_are_the_tutorials(networks):
    generator, discriminator, gan = networks
    assert [describe(layer) for layer in generator.layers] == GENERATOR
    assert [describe(layer) for layer in discriminator.layers] == DISCRIMINATOR
    assert (generator.count_params(), discriminator.count_params()) == (1_486_352, 1_460_225)
    assert (gan.input_shape, gan.output_shape) == ((None, 100), (None, 1))
    assert len({id(network.optimizer) for network in networks}) == 1
    assert {network.loss for network in networks} == {"binary_crossentropy"}
    assert discriminator.jit_compile is True and gan.jit_compile is True


def test_each_step_changes_its_own_network_only(no_xla, networks):
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


def test_training_works_where_xla_does_not(monkeypatch, npz):
    original = tf.function

    def function(*arguments, **options):
        if options.get("jit_compile"):
            raise NotImplementedError("no XLA on this platform")
        return original(*arguments, **options)

    monkeypatch.setattr(tf, "function", function)
    mnist_gan.train(1, 150, data=npz, output_dir="out")


def test_dropout_keeps_seven_of_ten_scaled_and_differs_each_time(networks):
    dropout, ones = networks[1].layers[2], np.ones((200, 500), np.float32)
    first, second = (np.asarray(dropout(ones, training=True)) for _ in range(2))
    assert not np.array_equal(first, second) and np.array_equal(dropout(ones), ones)
    assert np.unique(first) == pytest.approx([0, 1 / 0.7])
    assert np.mean(first > 0) == pytest.approx(0.7, abs=0.01)


def test_dropout_draws_with_philox_which_is_fast_under_xla(networks):
    step = tf.function(lambda x: networks[1].layers[2](x, training=True))
    graph = step.get_concrete_function(tf.ones((4, 4))).graph
    drawing = [op for op in graph.get_operations() if "RandomUniform" in op.type]
    # 1 is Philox; 3, "automatic", is what Keras's own layer asks for.
    assert {int(tf.get_static_value(op.inputs[-1])) for op in drawing} == {1}
