"""How fast is a training step compared with other ways to compute it, and what does a run add?

    python tests/tools/benchmark.py              the table of the README, about three minutes
    python tests/tools/benchmark.py --epochs 5   and whole epochs of `train` beside their steps

All variants take turns, so that a busy machine slows them alike: read the ratios. PyTorch and JAX
take part where they are installed. All but the floor compute the same step on batches of 128: two
draws of noise and one of images with NumPy, the generator's fakes, an update of the discriminator,
an update of the generator, and both losses as Python numbers, waited for.

    the loop          the loop of `train`, statement for statement, which a test checks
    hand-fused step   the three parts in one `tf.function` for XLA, as an earlier version had them:
                      faster, but Python that a reader adds to it runs once, when it is traced
    unswitched port   the tutorial's loop on today's Keras, with Keras's Dropout and without XLA:
                      once with `predict_on_batch`, and once with the tutorial's `predict`
    Keras's Dropout   the loop with Keras's own Dropout layer under XLA
    PyTorch           eager, with its fused Adam
    JAX               one jitted step that updates its state in place, Adam written out
    floor             the step's 34 matrix products alone, with NumPy
    the original      the tutorial's own program on its stack of 2018, with --python-2018: the path
                      of a Python that was set up as the docstring of record_trace.py says
"""

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import mnist_gan  # before Keras: it keeps TensorFlow quiet

# isort: split
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from mnist_gan import random_dim

BATCH = 128
GENERATOR = [100, 256, 512, 1024, 784]
DISCRIMINATOR = [784, 1024, 512, 256, 1]


def make_networks(dropout=mnist_gan.Dropout, **options):
    """Return generator, discriminator and gan as `train` makes them; options change `compile`."""
    compile_network = keras.Model.compile

    def compile_with_options(self, **given):
        compile_network(self, **given | options)

    adam = mnist_gan.get_optimizer()
    with (
        patch.object(mnist_gan, "Dropout", dropout),
        patch.object(keras.Model, "compile", compile_with_options),
    ):
        generator = mnist_gan.get_generator(adam)
        discriminator = mnist_gan.get_discriminator(adam)
        gan = mnist_gan.get_gan_network(discriminator, random_dim, generator, adam)
    return generator, discriminator, gan


def the_loop(x_train, generator, discriminator, gan, batch_size=BATCH):
    """Return a step of the loop of `train`: its statements up to the losses."""

    def step():
        noise = np.random.normal(0, 1, size=[batch_size, random_dim])
        image_batch = x_train[np.random.randint(0, x_train.shape[0], size=batch_size)]
        generated_images = generator.predict_on_batch(noise)
        X = np.concatenate([image_batch, generated_images])
        y_dis = np.zeros(2 * batch_size)
        y_dis[:batch_size] = 0.9
        discriminator.trainable = True
        d_loss = discriminator.train_on_batch(X, y_dis)
        noise = np.random.normal(0, 1, size=[batch_size, random_dim])
        y_gen = np.ones(batch_size)
        discriminator.trainable = False
        g_loss = gan.train_on_batch(noise, y_gen)
        return d_loss, g_loss

    return step


def unswitched_port(x_train, predict):
    """Return the loop with Keras's own Dropout and no XLA; `predict` makes the fakes."""
    generator, discriminator, gan = make_networks(keras.layers.Dropout, jit_compile=False)
    generator.predict_on_batch = partial(predict, generator)
    return the_loop(x_train, generator, discriminator, gan)


def with_arguments(step, x_train):
    """Return a step of no arguments: it draws noise, images and fresh noise as `train` does."""

    def complete_step():
        noise = np.random.normal(0, 1, size=[BATCH, random_dim])
        image_batch = x_train[np.random.randint(0, x_train.shape[0], size=BATCH)]
        return step(noise, image_batch, np.random.normal(0, 1, size=[BATCH, random_dim]))

    return complete_step


def hand_fused():
    """Return the step as one function for XLA; TensorFlow traces its Python once."""
    generator, discriminator, gan = make_networks()

    def train_on_batch(network, x, y):
        with tf.GradientTape() as tape:
            loss = network.compute_loss(x=x, y=y, y_pred=network(x, training=True))
        weights = network.trainable_variables
        network.optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    @tf.function(jit_compile=mnist_gan.xla_works())
    def step(noise, image_batch, fresh_noise):
        x = tf.concat([image_batch, generator(noise, training=False)], axis=0)
        discriminator.trainable = True
        d_loss = train_on_batch(discriminator, x, np.repeat([0.9, 0.0], BATCH))
        discriminator.trainable = False
        return d_loss, train_on_batch(gan, fresh_noise, np.ones(BATCH))

    return step


def pytorch():
    sys.modules["triton"] = None  # unused here, and loading it beside TensorFlow can crash
    import torch
    from torch import nn

    def network(sizes, end, *dropout):
        layers = []
        for n, m in pairwise(sizes[:-1]):
            layers += [nn.Linear(n, m), nn.LeakyReLU(0.2), *dropout]
        return nn.Sequential(*layers, nn.Linear(*sizes[-2:]), end)

    def update(network, optimizer, x, y):
        optimizer.zero_grad()
        loss = entropy(network(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    generator = network(GENERATOR, nn.Tanh())
    discriminator = network(DISCRIMINATOR, nn.Sigmoid(), nn.Dropout(0.3))
    gan = nn.Sequential(generator, discriminator)
    adam = partial(torch.optim.Adam, lr=0.0002, betas=(0.5, 0.999), eps=1e-7, fused=True)
    g_adam, d_adam = adam(generator.parameters()), adam(discriminator.parameters())
    entropy = nn.BCELoss()
    y_dis = torch.cat([torch.full((BATCH, 1), 0.9), torch.zeros(BATCH, 1)])
    y_gen = torch.ones(BATCH, 1)

    def step(*arrays):
        noise, images, fresh_noise = (torch.from_numpy(array).float() for array in arrays)
        with torch.no_grad():
            x = torch.cat([images, generator(noise)])
        discriminator.requires_grad_(True)
        d_loss = update(discriminator, d_adam, x, y_dis)
        discriminator.requires_grad_(False)
        return d_loss, update(gan, g_adam, fresh_noise, y_gen)

    return step


def jax_jitted():
    import jax
    import jax.numpy as jnp

    def network(sizes):  # weights, and Adam's two moments of each
        normal = jax.nn.initializers.normal(0.05)
        weights = [(normal(jax.random.key(n), (n, m)), jnp.zeros(m)) for n, m in pairwise(sizes)]
        return weights, *(jax.tree.map(jnp.zeros_like, weights) for _ in "mv")

    def forward(weights, x, keys=None):
        for i, (w, b) in enumerate(weights[:-1]):
            x = jax.nn.leaky_relu(x @ w + b, 0.2)
            if keys is not None:
                x = jnp.where(jax.random.bernoulli(keys[i], 0.7, x.shape), x / 0.7, 0)
        return x @ weights[-1][0] + weights[-1][1]

    def entropy(logits, y):
        return jnp.mean(jnp.maximum(logits, 0) - logits * y + jnp.log1p(jnp.exp(-abs(logits))))

    def update(loss, weights, m, v, t):
        value, gradients = jax.value_and_grad(loss)(weights)
        rate = 0.0002 * jnp.sqrt(1 - 0.999**t) / (1 - 0.5**t)
        m = jax.tree.map(lambda m, g: m + 0.5 * (g - m), m, gradients)
        v = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), v, gradients)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, m, v)
        return value, (weights, m, v)

    def train_step(state, noise, images, fresh_noise):
        generator, discriminator, t, key = state
        key, *keys = jax.random.split(key, 7)
        x = jnp.concatenate([images, jnp.tanh(forward(generator[0], noise))])

        def loss_of_discriminator(weights):
            return entropy(forward(weights, x, keys[:3]), y_dis)

        def loss_of_generator(weights):
            fakes = jnp.tanh(forward(weights, fresh_noise))
            return entropy(forward(discriminator[0], fakes, keys[3:]), 1.0)

        d_loss, discriminator = update(loss_of_discriminator, *discriminator, t + 1)
        g_loss, generator = update(loss_of_generator, *generator, t + 2)
        return (generator, discriminator, t + 2, key), d_loss, g_loss

    y_dis = jnp.concatenate([jnp.full((BATCH, 1), 0.9), jnp.zeros((BATCH, 1))])
    state = network(GENERATOR), network(DISCRIMINATOR), jnp.float32(0), jax.random.key(0)
    jitted = jax.jit(train_step, donate_argnums=0)

    def step(*arrays):
        nonlocal state
        state, *losses = jitted(state, *(array.astype("float32", copy=False) for array in arrays))
        return losses

    return step


def matrix_products():
    """Return a function that computes a step's products: forward, and for each gradient needed."""
    array = partial(np.random.default_rng(0).random, dtype=np.float32)

    def layers(sizes, batch):  # for each: inputs, weights, gradient of the outputs
        return [(array((batch, n)), array((n, m)), array((batch, m))) for n, m in pairwise(sizes)]

    generator, fakes = layers(GENERATOR, BATCH), layers(DISCRIMINATOR, BATCH)
    both = layers(DISCRIMINATOR, 2 * BATCH)
    factors = [(x, w) for x, w, _ in generator + both + generator + fakes]
    factors += [(x.T, gradient) for x, _, gradient in both + generator]
    factors += [(gradient, w.T) for _, w, gradient in both[1:] + fakes + generator[1:]]

    def step():
        for a, b in factors:
            a @ b
        return 0.0, 0.0

    return step


def original(python):
    """Return a step of the tutorial's program, run on its own stack in a process of its own."""
    recorder = Path(__file__).with_name("record_trace.py")
    process = subprocess.Popen(
        [python, recorder, "--step-on-request"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def step():
        print(file=process.stdin, flush=True)
        d_loss, g_loss = process.stdout.readline().split()
        return d_loss, g_loss

    return step


def seconds(step, steps):
    """Return how long `steps` steps take, with both losses checked."""
    begun = time.perf_counter()
    for _ in range(steps):
        if not np.isfinite([float(loss) for loss in step()]).all():
            raise FloatingPointError("a loss is not finite")
    return time.perf_counter() - begun


def compare(x_train, rounds, steps, python_2018):
    """Print the table of the variants; python_2018: a path, or None to leave the original out."""
    networks_with_keras_dropout = make_networks(keras.layers.Dropout)
    variants = {
        "the loop": the_loop(x_train, *make_networks()),
        "hand-fused step": with_arguments(hand_fused(), x_train),
        "unswitched port, `predict`": unswitched_port(
            x_train, lambda g, x: g.predict(x, verbose=0)
        ),
        "unswitched port, `predict_on_batch`": unswitched_port(
            x_train, keras.Model.predict_on_batch
        ),
        "the loop, Keras's Dropout": the_loop(x_train, *networks_with_keras_dropout),
        "floor": matrix_products(),
    }
    if find_spec("torch"):
        variants["PyTorch, eager, fused Adam"] = with_arguments(pytorch(), x_train)
    if find_spec("jax"):
        variants["JAX, one jitted step"] = with_arguments(jax_jitted(), x_train)
    if python_2018:
        variants["the original of 2018"] = original(python_2018)

    # A new order each round, so that no variant always follows the same one. Round 1 compiles.
    turns = [name for _ in range(rounds + 1) for name in np.random.permutation(list(variants))]
    times = {name: [] for name in variants}
    for name in tqdm(turns, leave=False):
        seconds(variants[name], 3)  # warms the caches, and lets the threads of the one before rest
        times[name].append(seconds(variants[name], steps) / steps * 1000)
    times = {name: np.array(values[1:]) for name, values in times.items()}
    median = {name: np.median(values) for name, values in times.items()}
    print(f"{rounds} rounds of {steps} steps, batch {BATCH}\n")
    print("| step | ms | ÷ the loop | ÷ hand-fused step |\n|---|--:|--:|--:|")
    for name in sorted(median, key=median.get):
        ratios = [np.median(times[name] / times[x]) for x in ("the loop", "hand-fused step")]
        print(f"| {name} | {median[name]:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    if min(median, key=median.get) != "floor":
        print("\nWarning: the floor is not the fastest. The machine is too busy for such figures.")


def measure_run(x_train, epochs):
    """Print how much longer epochs of `train` take than their steps, measured in turn.

    Every other epoch has a sheet. Not counted: the first two epochs and the last.
    """
    steps = len(x_train) // BATCH
    step = the_loop(x_train, *make_networks())
    times = []  # (seconds of an epoch, of as many steps), ending where the next epoch begins
    tqdm_of_script = mnist_gan.tqdm

    def watched_tqdm(*arguments, **options):
        nonlocal begun
        now = time.perf_counter()
        times.append((now - begun, seconds(step, steps)))
        begun = time.perf_counter()
        return tqdm_of_script(*arguments, **options)

    # The times that `train` prints include the steps measured in between, so they are hidden.
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(mnist_gan, "tqdm", watched_tqdm),
        contextlib.redirect_stdout(None),
    ):
        begun = time.perf_counter()
        mnist_gan.train(2 * epochs + 3, BATCH, data="drawn", output_dir=folder, sample_every=2)
    # times[e] is that of epoch e, times[0] of what comes before the first.
    for name, chosen in (("without a sheet", times[3::2]), ("with a sheet", times[4::2])):
        ratio = np.median([epoch / bare for epoch, bare in chosen])
        epoch, bare = np.median(chosen, axis=0)
        print(f"an epoch {name} {epoch:.2f} s, {steps} steps {bare:.2f} s; ratio {ratio:.3f}")


def main():
    parser = argparse.ArgumentParser(description="Time the training step and its alternatives.")
    parser.add_argument("--rounds", type=int, default=6, help="of the table; 0: no table")
    parser.add_argument("--steps", type=int, default=30, help="of each variant in a round")
    parser.add_argument("--epochs", type=int, default=0, help="of `train`, of each kind")
    parser.add_argument("--python-2018", metavar="PATH", help="time the original with this Python")
    arguments = parser.parse_args()

    plt.switch_backend("agg")
    x_train = mnist_gan.load_mnist_data("drawn")[0]
    if arguments.rounds:
        compare(x_train, arguments.rounds, arguments.steps, arguments.python_2018)
    if arguments.epochs:
        measure_run(x_train, arguments.epochs)
    packages = [p for p in ("tensorflow", "keras", "numpy", "torch", "jax") if p in sys.modules]
    versions = ", ".join(f"{p} {sys.modules[p].__version__}" for p in packages)
    print(f"\nPython {platform.python_version()}, {versions}; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
