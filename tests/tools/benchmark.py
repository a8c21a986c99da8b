"""How fast is a training step, beside other ways to compute it, and what does a run cost besides?

    python tests/tools/benchmark.py              the table of the README, about two minutes
    python tests/tools/benchmark.py --epochs 5   and epochs of `train` beside their bare steps

All variants take turns, so that a busy machine slows them alike: read the ratios. PyTorch and JAX
take part where they are installed. All but the floor compute the same step on batches of 128: two
draws of noise and one of images with NumPy, the generator's fakes, an update of the discriminator,
an update of the generator, and both losses as Python numbers, waited for.

    mnist_gan.py      the step of `train`
    literal port      the tutorial's loop as it stands: generator.predict and two train_on_batch
    predict_on_batch  the same with predict_on_batch in place of predict
    PyTorch           eager, with its fused Adam
    JAX               one jitted step that updates its state in place, Adam written out
    floor             the step's 34 matrix products alone, with NumPy
"""

import argparse
import contextlib
import os
import platform
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from itertools import count, pairwise
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import mnist_gan  # before Keras: it keeps TensorFlow quiet

# isort: split
import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

BATCH = 128
GENERATOR = [100, 256, 512, 1024, 784]
DISCRIMINATOR = [784, 1024, 512, 256, 1]


def make_networks():
    """Return generator, discriminator and gan, made as the tutorial makes them."""
    adam = mnist_gan.get_optimizer()
    generator = mnist_gan.get_generator(adam)
    discriminator = mnist_gan.get_discriminator(adam)
    gan = mnist_gan.get_gan_network(discriminator, mnist_gan.random_dim, generator, adam)
    return generator, discriminator, gan


def draw(x_train):
    """Return the arguments of a step: noise, real images and fresh noise."""
    noise = np.random.normal(0, 1, size=[BATCH, mnist_gan.random_dim])
    image_batch = x_train[np.random.randint(0, x_train.shape[0], size=BATCH)]
    return noise, image_batch, np.random.normal(0, 1, size=[BATCH, mnist_gan.random_dim])


def seconds(step, get_arguments, steps):
    """Return how long so many steps take, with their arguments got and both losses looked at."""
    begun = time.perf_counter()
    for _ in range(steps):
        if not np.isfinite([float(loss) for loss in step(*get_arguments())]).all():
            raise FloatingPointError("a loss is not finite")
    return time.perf_counter() - begun


def tutorials_loop(predict):
    """Return the tutorial's step; `predict` makes the fakes from the generator and noise."""
    # With Keras's own Dropout, as a port would have it.
    with patch.object(mnist_gan, "Dropout", keras.layers.Dropout):
        generator, discriminator, gan = make_networks()
    y_dis, y_gen = np.repeat([0.9, 0.0], BATCH), np.ones(BATCH)

    def step(noise, image_batch, fresh_noise):
        x = np.concatenate([image_batch, predict(generator, noise)])
        discriminator.trainable = True
        d_loss = discriminator.train_on_batch(x, y_dis)
        discriminator.trainable = False
        return d_loss, gan.train_on_batch(fresh_noise, y_gen)

    return step


def pytorch():
    sys.modules["triton"] = None  # unused here, and to load it beside TensorFlow can crash
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
    """Return the products of a step: forward, and for each gradient that the step needs."""
    array = partial(np.random.default_rng(0).random, dtype=np.float32)

    def layers(sizes, batch):  # of each the inputs, the weights and the outputs' gradient
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


def compare(x_train, rounds, steps):
    """Print the table of the variants."""
    made = {
        "mnist_gan.py": mnist_gan.get_train_step(*make_networks(), BATCH),
        "literal port": tutorials_loop(lambda g, noise: g.predict(noise, verbose=0)),
        "predict_on_batch": tutorials_loop(lambda g, noise: g.predict_on_batch(noise)),
    }
    made |= {"PyTorch": pytorch()} if find_spec("torch") else {}
    made |= {"JAX": jax_jitted()} if find_spec("jax") else {}
    variants = {name: partial(seconds, step, partial(draw, x_train)) for name, step in made.items()}
    variants["floor"] = partial(seconds, matrix_products(), tuple)  # no arguments

    # In another order each round, so that none always follows the same one. The first compiles.
    turns = [name for _ in range(rounds + 1) for name in np.random.permutation(list(variants))]
    times = {name: [] for name in variants}
    for name in tqdm(turns, leave=False):
        variants[name](3)  # warms the caches, and lets the threads of the one before rest
        times[name].append(variants[name](steps) / steps * 1000)
    times = {name: np.array(values[1:]) for name, values in times.items()}
    median = {name: np.median(values) for name, values in times.items()}
    print(f"{rounds} rounds of {steps} steps, batch {BATCH}\n")
    print("| step | ms, median | of mnist_gan.py | of the floor |\n|---|--:|--:|--:|")
    for name in sorted(median, key=median.get):
        own, floor = (np.median(times[name] / times[x]) for x in ("mnist_gan.py", "floor"))
        print(f"| {name} | {median[name]:.1f} | {own:.2f} | {floor:.2f} |")
    if min(median, key=median.get) != "floor":
        print("\nWarning: the floor is not the fastest. The machine is too busy for such figures.")


def measure_run(x_train, epochs):
    """Print how much longer epochs of `train` take than as many bare steps, the two in turns.

    Not counted: the first epoch, which compiles, and the last. Bare steps draw nothing.
    """
    get_train_step, steps = mnist_gan.get_train_step, len(x_train) // BATCH
    inputs = [tf.constant(array) for array in draw(x_train)]
    take_bare_steps = partial(seconds, get_train_step(*make_networks(), BATCH), lambda: inputs)
    times, numbers = [], count()  # (seconds of an epoch, of bare steps), the steps' numbers

    def get_watched_train_step(*arguments):
        train_step = get_train_step(*arguments)

        def step(*inputs):
            nonlocal begun
            if next(numbers) % steps == 0:  # the epoch before is over, its files written
                times.append((time.perf_counter() - begun, take_bare_steps(steps)))
                begun = time.perf_counter()
            return train_step(*inputs)

        return step

    watched = patch.object(mnist_gan, "get_train_step", get_watched_train_step)
    # What `train` prints would count the bare steps among its own.
    with tempfile.TemporaryDirectory() as folder, watched, contextlib.redirect_stdout(None):
        begun = time.perf_counter()
        mnist_gan.train(epochs + 2, BATCH, data="drawn", output_dir=folder)
    ratio = np.median([epoch / bare for epoch, bare in times[2:]])
    epoch, bare = np.median(times[2:], axis=0)
    print(f"\nan epoch {epoch:.2f} s, {steps} bare steps {bare:.2f} s; ratio {ratio:.3f}")


def main():
    parser = argparse.ArgumentParser(description="Time the training step beside other ways.")
    parser.add_argument("--rounds", type=int, default=6, help="of the table; 0: no table")
    parser.add_argument("--steps", type=int, default=30, help="of each variant in a round")
    parser.add_argument("--epochs", type=int, default=0, help="of `train` to measure, too")
    arguments = parser.parse_args()

    x_train = mnist_gan.load_mnist_data("drawn")[0]
    if arguments.rounds:
        compare(x_train, arguments.rounds, arguments.steps)
    if arguments.epochs:
        measure_run(x_train, arguments.epochs)
    packages = [p for p in ("tensorflow", "keras", "numpy", "torch", "jax") if p in sys.modules]
    versions = ", ".join(f"{p} {sys.modules[p].__version__}" for p in packages)
    print(f"\nPython {platform.python_version()}, {versions}; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
