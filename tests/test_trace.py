"""The numbers of 2018: losses and weights that the tutorial's own loop gave on its own stack.

`tools/record_trace.py` recorded them with Keras 2.2.4 and TensorFlow 1.11.0, with every Dropout
rate 0, since no two frameworks draw the same masks. From the same inputs a faithful port gives the
same numbers.
"""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import load_changed, load_script

NAMES = ["trace_2018.json", "trace_2018_small.json"]
TRACES = {name: json.loads(Path(__file__).with_name(name).read_text()) for name in NAMES}


def check_against_trace(module, trace):
    """Run `train` on the trace's inputs; raise AssertionError unless it agrees with 2018."""
    networks = {}
    get_gan_network = module.get_gan_network

    def get_prepared_gan_network(discriminator, random_dim, generator, optimizer):
        random = np.random.RandomState(trace["init_seed"])
        networks.update(generator=generator, discriminator=discriminator)
        for network in networks.values():
            shapes = [weight.shape for weight in network.get_weights()]
            network.set_weights([random.normal(0, 0.05, shape) for shape in shapes])
        for layer in discriminator.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        return get_gan_network(discriminator, random_dim, generator, optimizer)

    pixels = np.random.RandomState(trace["data_seed"]).randint(0, 256, (trace["n"], 784))
    images = ((pixels.astype(np.uint8) - 127.5) / 127.5).astype(np.float32)
    module.load_mnist_data = lambda data: (images, None, None, None)
    module.get_gan_network = get_prepared_gan_network
    sizes = trace["epochs"], trace["batch"]
    losses = module.train(*sizes, seed=trace["stream_seed"], output_dir="out")

    for name in ("d_loss", "g_loss"):
        assert losses[name][:4] == pytest.approx(trace[name][:4], rel=2e-4)
        assert losses[name] == pytest.approx(trace[name], rel=1e-2)
    for name, network in networks.items():
        weights = network.get_weights()
        assert [list(weight.shape) for weight in weights] == [w["shape"] for w in trace[name]]
        norms = [np.linalg.norm(weight.astype(float)) for weight in weights]
        assert norms == pytest.approx([w["l2"] for w in trace[name]], rel=3e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("xla", ["xla", "no_xla"])
def test_train_reproduces_the_trace(request, name, xla):
    if xla == "no_xla":
        request.getfixturevalue(xla)
    check_against_trace(load_script(), TRACES[name])


CHANGES = {
    "an optimizer each": ("get_discriminator(adam)", "get_discriminator(get_optimizer())"),
    "no label smoothing": ("y_dis[:batch_size] = 0.9", "y_dis[:batch_size] = 1.0"),
    "real and fake swapped": ("[image_batch, generated_images]", "[generated_images, image_batch]"),
    "another beta_1": ("beta_1=0.5", "beta_1=0.9"),
    "another learning rate": ("learning_rate=0.0002", "learning_rate=0.0003"),
    "the generator told fake": ("y_gen = np.ones", "y_gen = np.zeros"),
    "never frozen": ("            discriminator.trainable = False\n", ""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_trace_notices(no_xla, tmp_path, change):
    with pytest.raises(AssertionError):
        check_against_trace(load_changed(tmp_path, *CHANGES[change]), TRACES["trace_2018.json"])
