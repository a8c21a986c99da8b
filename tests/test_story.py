"""The loop, the plot, the networks and the numbers are the tutorial's; what a reader adds runs."""

import ast
import json
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SCRIPT, load_changed, load_script, plot_quickly

import mnist_gan

RECORDER = Path(__file__).with_name("tools") / "record_trace.py"  # It holds the tutorial's code.


def nodes(file, name, kind):
    """Return the nodes of one kind in a function, in the order of its text."""
    tree = ast.parse(file.read_text(encoding="utf-8").replace("r.predict(", "r.predict_on_batch("))
    (function,) = [node for node in tree.body if getattr(node, "name", None) == name]
    found = [node for node in ast.walk(function) if isinstance(node, kind)]
    return sorted(found, key=lambda node: (node.end_lineno, node.end_col_offset))


def test_a_step_is_the_tutorials_statement_for_statement_and_so_is_the_benchmarks():
    tutorials, ours, timed = (
        [ast.unparse(node) for node in nodes(*place)[0].body]
        for place in (
            (RECORDER, "train", ast.For),
            (SCRIPT, "train", ast.For),
            (RECORDER.with_name("benchmark.py"), "the_loop", ast.FunctionDef),
        )
    )
    assert len(tutorials) == 13 and len(ours) <= 14
    assert ours[:12] == timed[:12] == tutorials[:12]


def test_the_plot_makes_the_tutorials_calls_in_its_order():
    calls = [nodes(f, "plot_generated_images", ast.Call) for f in (RECORDER, SCRIPT)]
    tutorials, ours = ([getattr(call.func, "attr", "") for call in found] for found in calls)
    assert [name for name in ours if name in tutorials and name] == [n for n in tutorials if n]


def test_python_added_to_the_loop_runs_at_every_step(no_xla, npz):
    old = "y_dis[:batch_size] = 0.9\n"
    new = old + " " * 12 + "y_dis += 0.05 * np.random.random(2 * batch_size)\n"
    changed = load_changed(old, new + " " * 12 + "labels.append(y_dis)\n")
    changed.labels, changed.plot_generated_images = [], plot_quickly
    changed.train(1, 100, data=npz, output_dir="out")
    assert len({tuple(y) for y in changed.labels}) == len(changed.labels) == 3


def test_every_step_draws_what_the_tutorial_drew_and_nothing_else_draws(train):
    train(2, "out")
    random = np.random.RandomState(3)
    for _ in range(2 * 2):
        random.normal(0, 1, size=[150, 100])
        random.randint(0, 300, size=150)
        random.normal(0, 1, size=[150, 100])
    assert np.array_equal(np.random.random(5), random.random_sample(5))


NAMES = ["load_mnist_data", "get_optimizer", "get_generator", "get_discriminator"]


@pytest.mark.parametrize("name", [*NAMES, "get_gan_network", "plot_generated_images"])
def test_a_function_that_a_reader_puts_in_the_module_is_used(small, train, monkeypatch, name):
    monkeypatch.setattr(small, name, lambda *_, **__: int(f"{name} was used"))
    with pytest.raises(ValueError, match=f"{name} was used"):
        train(1, "out")


LEAKY, DROP, FIRST, NEXT = "LeakyReLU 0.2", "Dropout 0.3", "linear RandomNormal", "linear Glorot"
GENERATOR = [f"256 {FIRST}", LEAKY, f"512 {NEXT}", LEAKY, f"1024 {NEXT}", LEAKY, "784 tanh Glorot"]
DISCRIMINATOR = [f"1024 {FIRST}", LEAKY, DROP, f"512 {NEXT}", LEAKY, DROP, f"256 {NEXT}", LEAKY]
DISCRIMINATOR += [DROP, "1 sigmoid Glorot"]


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
    if not isinstance(layer, keras.layers.Dense):
        return f"{type(layer).__name__} {config.get('rate') or config['negative_slope']:.1f}"
    start = config["kernel_initializer"]
    assert start["config"].get("stddev", 0.02) == 0.02
    return f"{config['units']} {config['activation']} {start['class_name'].removesuffix('Uniform')}"


def test_the_layers_the_loss_and_the_shared_adam_are_the_tutorials(networks):
    generator, discriminator, gan = networks
    assert [describe(layer) for layer in generator.layers] == GENERATOR
    assert [describe(layer) for layer in discriminator.layers] == DISCRIMINATOR
    assert (generator.count_params(), discriminator.count_params()) == (1_486_352, 1_460_225)
    assert (gan.input_shape, gan.output_shape) == ((None, 100), (None, 1))
    assert len({id(network.optimizer) for network in networks}) == 1
    assert {network.loss for network in networks} == {"binary_crossentropy"}
    assert discriminator.jit_compile is True and gan.jit_compile is True
    assert not discriminator.trainable


def test_each_step_changes_its_own_network_only(no_xla, networks):
    generator, discriminator, gan = networks

    def changes(network, *batch):
        before = generator.get_weights(), discriminator.get_weights()
        network.train_on_batch(*batch)
        after = generator.get_weights(), discriminator.get_weights()
        return [{not np.array_equal(*pair) for pair in zip(*both)} for both in zip(before, after)]

    for _ in range(3):
        discriminator.trainable = True
        assert changes(discriminator, np.ones((8, 784)), np.zeros(8)) == [{False}, {True}]
        discriminator.trainable = False
        assert changes(gan, np.random.random((8, 100)), np.ones(8)) == [{True}, {False}]


def test_training_works_where_xla_does_not(npz):
    original = tf.function
    fail = {True: lambda *_, **__: 1 / 0}
    call = mock.Mock(side_effect=lambda *a, **k: fail.get(k.get("jit_compile"), original)(*a, **k))
    with mock.patch.object(tf, "function", call):
        mnist_gan.train(1, 150, data=npz, output_dir="out")


def test_dropout_keeps_seven_of_ten_scaled_and_draws_with_philox_for_xla(networks):
    dropout, ones = networks[1].layers[2], np.ones((200, 500), np.float32)
    first, second = (np.asarray(dropout(ones, training=True)) for _ in range(2))
    assert not np.array_equal(first, second) and np.array_equal(dropout(ones), ones)
    assert np.unique(first) == pytest.approx([0, 1 / 0.7])
    assert np.mean(first > 0) == pytest.approx(0.7, abs=0.01)
    step = tf.function(lambda x: dropout(x, training=True)).get_concrete_function(tf.ones((4, 4)))
    drawing = [op for op in step.graph.get_operations() if "RandomUniform" in op.type]
    # 1 is Philox; 3, "automatic", is what Keras's own layer asks for, and slow under XLA.
    assert {int(tf.get_static_value(op.inputs[-1])) for op in drawing} == {1}


TRACED = ["trace_2018.json", "trace_2018_small.json"]
TRACES = {name: json.loads(Path(__file__).with_name(name).read_text()) for name in TRACED}


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
        for layer in discriminator.layers:  # No two frameworks draw the same Dropout masks.
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        return get_gan_network(discriminator, random_dim, generator, optimizer)

    pixels = np.random.RandomState(trace["data_seed"]).randint(0, 256, (trace["n"], 784))
    images = ((pixels.astype(np.uint8) - 127.5) / 127.5).astype(np.float32)
    module.load_mnist_data = lambda data: (images, None, None, None)
    module.get_gan_network = get_prepared_gan_network
    module.plot_generated_images = plot_quickly
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


@pytest.mark.parametrize("name", TRACED)
@pytest.mark.parametrize("xla", ["xla", "no_xla"])
def test_train_reproduces_the_trace(request, name, xla):
    if xla == "no_xla":
        request.getfixturevalue(xla)
    check_against_trace(load_script(), TRACES[name])


CHANGES = {
    "an optimizer each": ("get_discriminator(adam)", "get_discriminator(get_optimizer())"),
    "no label smoothing": ("y_dis[:batch_size] = 0.9", "y_dis[:batch_size] = 1.0"),
    "another beta_1": ("beta_1=0.5", "beta_1=0.9"),
    "never frozen": ("            discriminator.trainable = False\n", ""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_trace_notices(no_xla, change):
    changed = load_changed(*CHANGES[change])
    with pytest.raises(AssertionError):
        check_against_trace(changed, TRACES["trace_2018.json"])
