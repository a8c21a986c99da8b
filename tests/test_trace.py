"""The numbers of 2018: losses and weights that the tutorial's own loop gave on its own stack.

`trace_2018.json` was recorded with Keras 2.2.4 and TensorFlow 1.11.0, with every Dropout rate set
to 0 so that no framework's random masks enter. A port that is faithful reproduces it from the same
inputs, through `train` and through the tutorial's loop written by hand.
"""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import remove_xla

import mnist_gan

TRACE = json.loads(Path(__file__).with_name("trace_2018.json").read_text())
STEPS = len(TRACE["d_loss"])


def trace_images():
    pixels = np.random.RandomState(TRACE["data_seed"]).randint(0, 256, (TRACE["n"], 784))
    return ((pixels.astype(np.uint8) - 127.5) / 127.5).astype(np.float32)


def set_trace_weights(generator, discriminator):
    random = np.random.RandomState(TRACE["init_seed"])
    for network in (generator, discriminator):
        shapes = [weight.shape for weight in network.get_weights()]
        network.set_weights([random.normal(0, 0.05, shape) for shape in shapes])
    for layer in discriminator.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


def run_train(monkeypatch, tmp_path, xla=True):
    """Run `train` on the trace's inputs; return losses, generator and discriminator."""
    networks = []
    get_gan_network = mnist_gan.get_gan_network

    def get_prepared_gan_network(discriminator, random_dim, generator, optimizer):
        set_trace_weights(generator, discriminator)
        networks.extend([generator, discriminator])
        return get_gan_network(discriminator, random_dim, generator, optimizer)

    labels = np.zeros(TRACE["n"], np.uint8)
    arrays = (trace_images(), labels, np.zeros((1, 28, 28), np.uint8), labels[:1])
    monkeypatch.setattr(mnist_gan, "load_mnist_data", lambda data: arrays)
    monkeypatch.setattr(mnist_gan, "get_gan_network", get_prepared_gan_network)
    if not xla:
        remove_xla(monkeypatch)
    losses = mnist_gan.train(
        TRACE["epochs"], TRACE["batch"], seed=TRACE["stream_seed"], output_dir=tmp_path
    )
    return losses, *networks


def run_by_hand(smoothing=0.9, swap=False, beta_1=0.5, shared=True):
    """Run the tutorial's loop, written out; the arguments spoil it in one way each."""
    batch, images = TRACE["batch"], trace_images()
    adam = mnist_gan.get_optimizer()
    adam.beta_1 = beta_1
    generator = mnist_gan.get_generator(adam)
    discriminator = mnist_gan.get_discriminator(adam if shared else mnist_gan.get_optimizer())
    set_trace_weights(generator, discriminator)
    gan = mnist_gan.get_gan_network(discriminator, mnist_gan.random_dim, generator, adam)

    np.random.seed(TRACE["stream_seed"])
    losses = {"d_loss": [], "g_loss": []}
    for _ in range(STEPS):
        noise = np.random.normal(0, 1, size=[batch, mnist_gan.random_dim])
        image_batch = images[np.random.randint(0, len(images), size=batch)]
        generated_images = generator.predict_on_batch(noise)
        halves = [image_batch, generated_images]
        y_dis = np.zeros(2 * batch)
        y_dis[:batch] = smoothing

        discriminator.trainable = True
        x = np.concatenate(halves[::-1] if swap else halves)
        losses["d_loss"].append(float(discriminator.train_on_batch(x, y_dis)))

        noise = np.random.normal(0, 1, size=[batch, mnist_gan.random_dim])
        discriminator.trainable = False
        losses["g_loss"].append(float(gan.train_on_batch(noise, np.ones(batch))))
    return losses, generator, discriminator


def check_against_trace(losses, generator, discriminator):
    """Raise AssertionError unless a run agrees with 2018; return the three largest deviations."""
    first, whole, norms = [], [], []
    for name in ("d_loss", "g_loss"):
        expected, got = np.array(TRACE[name]), np.array(losses[name], float)
        assert got.shape == expected.shape
        deviation = np.abs(got / expected - 1)
        first.append(deviation[:4].max())
        whole.append(deviation.max())
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        weights = network.get_weights()
        assert [list(weight.shape) for weight in weights] == [w["shape"] for w in TRACE[name]]
        expected = np.array([w["l2"] for w in TRACE[name]])
        got = np.array([np.linalg.norm(weight.astype(float)) for weight in weights])
        norms.append(np.abs(got / expected - 1).max())
    print(f"first 4 steps {max(first):.1e}, all {max(whole):.1e}, norms {max(norms):.1e}")
    assert max(first) < 1e-5
    assert max(whole) < 1e-2
    assert max(norms) < 2e-4


@pytest.mark.parametrize("xla", [True, False], ids=["xla", "no xla"])
def test_train_reproduces_the_trace(monkeypatch, tmp_path, xla):
    check_against_trace(*run_train(monkeypatch, tmp_path, xla))


def test_the_loop_by_hand_reproduces_the_trace():
    check_against_trace(*run_by_hand())


@pytest.mark.parametrize(
    "change",
    [{"shared": False}, {"smoothing": 1.0}, {"swap": True}, {"beta_1": 0.9}],
    ids=["separate optimizers", "no label smoothing", "real and fake swapped", "other beta_1"],
)
def test_the_trace_notices(change):
    with pytest.raises(AssertionError):
        check_against_trace(*run_by_hand(**change))
