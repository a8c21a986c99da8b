"""How fast is a training step, beside other ways to compute it, and what does a run cost besides?

    python tests/benchmark.py              the table of the README, about two minutes
    python tests/benchmark.py --epochs 5   and a run (Linux only): start-up, overhead, memory

All variants take turns, so that a busy machine slows them alike: read the ratios. PyTorch and JAX
take part where they are installed. Each computes the same step on batches of 128: two draws of
noise and one of images with NumPy, the generator's fakes, an update of the discriminator, an update
of the generator, and both losses as Python numbers.

    mnist_gan.py      the step of `train`
    literal port      the tutorial's loop as it stands: generator.predict and two train_on_batch
    predict_on_batch  the same with predict_on_batch in place of predict
    PyTorch           eager, with its fused Adam
    JAX               one jitted step that updates its state in place, Adam written out
    floor             the step's 34 matrix products alone, with NumPy
"""

import argparse
import contextlib
import io
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import mnist_gan  # before Keras: it keeps TensorFlow quiet

# isort: split
import keras
import numpy as np

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


def draw_noise():
    return np.random.normal(0, 1, size=[BATCH, mnist_gan.random_dim])


def draw_images(x_train):
    return x_train[np.random.randint(0, x_train.shape[0], size=BATCH)]


def this_script(x_train):
    """Return a function that takes so many steps as `train` does: losses are looked at one late."""
    train_step = mnist_gan.get_train_step(*make_networks(), BATCH)

    def take(steps):
        waiting = []
        quiet = contextlib.redirect_stderr(io.StringIO())
        with quiet, mnist_gan.progress_bar(1, 1, steps) as bar:
            for _ in bar:
                losses = train_step(draw_noise(), draw_images(x_train), draw_noise())
                waiting.append(losses)
                if len(waiting) > 1:
                    look_at(*waiting.pop(0))
            look_at(*waiting.pop(0))

    return take


def look_at(d_loss, g_loss):
    assert np.isfinite((float(d_loss), float(g_loss))).all()


def repeated(step):
    """Return a function that takes so many steps, one after the other."""

    def take(steps):
        for _ in range(steps):
            look_at(*step())

    return take


def tutorials_loop(x_train, predict):
    """Return the tutorial's step; `predict` is the name of Keras's method that makes the fakes."""
    # With Keras's own Dropout, as a port would have it.
    fast_dropout, mnist_gan.Dropout = mnist_gan.Dropout, keras.layers.Dropout
    generator, discriminator, gan = make_networks()
    mnist_gan.Dropout = fast_dropout
    options = {"verbose": 0} if predict == "predict" else {}
    y_dis = np.zeros(2 * BATCH)
    y_dis[:BATCH] = 0.9
    y_gen = np.ones(BATCH)

    def step():
        noise, image_batch = draw_noise(), draw_images(x_train)
        generated_images = getattr(generator, predict)(noise, **options)
        x = np.concatenate([image_batch, generated_images])
        discriminator.trainable = True
        d_loss = discriminator.train_on_batch(x, y_dis)
        noise = draw_noise()
        discriminator.trainable = False
        g_loss = gan.train_on_batch(noise, y_gen)
        return float(d_loss), float(g_loss)

    return step


def pytorch(x_train):
    import torch
    from torch import nn

    def network(sizes, end, dropout):
        layers = []
        for inputs, outputs in zip(sizes[:-2], sizes[1:-1]):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
            layers += [nn.Dropout(dropout)] if dropout else []
        return nn.Sequential(*layers, nn.Linear(*sizes[-2:]), end)

    def update(network, optimizer, x, y):
        optimizer.zero_grad()
        loss = entropy(network(x), y)
        loss.backward()
        optimizer.step()
        return loss

    generator = network(GENERATOR, nn.Tanh(), 0)
    discriminator = network(DISCRIMINATOR, nn.Sigmoid(), 0.3)
    adams = [
        torch.optim.Adam(n.parameters(), 0.0002, (0.5, 0.999), eps=1e-7, fused=True)
        for n in (generator, discriminator)
    ]
    entropy = nn.BCELoss()
    y_dis = torch.cat([torch.full((BATCH, 1), 0.9), torch.zeros(BATCH, 1)])
    y_gen = torch.ones(BATCH, 1)
    gan = nn.Sequential(generator, discriminator)

    def tensor(array):
        return torch.from_numpy(array.astype(np.float32, copy=False))

    def step():
        with torch.no_grad():
            fakes = generator(tensor(draw_noise()))
        x = torch.cat([tensor(draw_images(x_train)), fakes])
        discriminator.requires_grad_(True)
        d_loss = update(discriminator, adams[1], x, y_dis)
        discriminator.requires_grad_(False)
        g_loss = update(gan, adams[0], tensor(draw_noise()), y_gen)
        return d_loss.item(), g_loss.item()

    return step


def jax_jitted(x_train):
    import jax
    import jax.numpy as jnp

    def layers(sizes):
        shapes = zip(sizes[:-1], sizes[1:])
        random = np.random.RandomState(0)
        return [
            (jnp.asarray(random.normal(0, 0.05, s), jnp.float32), jnp.zeros(s[1])) for s in shapes
        ]

    def forward(weights, x, keys=None):
        for i, (w, b) in enumerate(weights[:-1]):
            x = jax.nn.leaky_relu(x @ w + b, 0.2)
            if keys is not None:
                x = jnp.where(jax.random.bernoulli(keys[i], 0.7, x.shape), x / 0.7, 0)
        return x @ weights[-1][0] + weights[-1][1]

    def entropy(logits, y):
        return jnp.mean(jnp.maximum(logits, 0) - logits * y + jnp.log1p(jnp.exp(-abs(logits))))

    def adam(weights, gradients, m, v, t):
        rate = 0.0002 * jnp.sqrt(1 - 0.999**t) / (1 - 0.5**t)
        m = jax.tree.map(lambda m, g: m + 0.5 * (g - m), m, gradients)
        v = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), v, gradients)
        step = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, m, v)
        return step, m, v

    def train_step(state, noise, images, fresh_noise):
        generator, discriminator, g_moments, d_moments, t, key = state
        key, *keys = jax.random.split(key, 7)
        x = jnp.concatenate([images, jnp.tanh(forward(generator, noise))])

        def loss_of_discriminator(discriminator):
            return entropy(forward(discriminator, x, keys[:3]), y_dis)

        d_loss, gradients = jax.value_and_grad(loss_of_discriminator)(discriminator)
        discriminator, *d_moments = adam(discriminator, gradients, *d_moments, t + 1)

        def loss_of_generator(generator):
            fakes = jnp.tanh(forward(generator, fresh_noise))
            return entropy(forward(discriminator, fakes, keys[3:]), 1.0)

        g_loss, gradients = jax.value_and_grad(loss_of_generator)(generator)
        generator, *g_moments = adam(generator, gradients, *g_moments, t + 2)
        return (generator, discriminator, g_moments, d_moments, t + 2, key), d_loss, g_loss

    y_dis = jnp.concatenate([jnp.full((BATCH, 1), 0.9), jnp.zeros((BATCH, 1))])
    generator, discriminator = layers(GENERATOR), layers(DISCRIMINATOR)
    moments = [[jax.tree.map(jnp.zeros_like, w) for _ in "mv"] for w in (generator, discriminator)]
    state = (generator, discriminator, *moments, jnp.float32(0), jax.random.key(0))
    jitted = jax.jit(train_step, donate_argnums=0)

    def step():
        nonlocal state
        noise = draw_noise().astype(np.float32)
        images, fresh_noise = draw_images(x_train), draw_noise().astype(np.float32)
        state, d_loss, g_loss = jitted(state, noise, images, fresh_noise)
        return float(d_loss), float(g_loss)

    return step


def matrix_products():
    """Return the products of a step: forward, and for each gradient that the step needs."""
    random = np.random.RandomState(0)

    def arrays(*shapes):
        return [random.uniform(-1, 1, shape).astype(np.float32) for shape in shapes]

    def network(sizes, batch):
        values = arrays(*[(batch, n) for n in sizes])
        weights = arrays(*zip(sizes[:-1], sizes[1:]))
        return list(zip(values[:-1], weights, values[1:]))  # input, weights, output (or gradient)

    def forward(layers):
        for x, w, _ in layers:
            x @ w

    def backward(layers, weights, first_input):
        for i, (x, w, gradient) in enumerate(layers):
            if weights:
                x.T @ gradient
            if i > 0 or first_input:
                gradient @ w.T

    generator = network(GENERATOR, BATCH)
    both, fakes = network(DISCRIMINATOR, 2 * BATCH), network(DISCRIMINATOR, BATCH)

    def step():
        forward(generator)
        forward(both)
        backward(both, weights=True, first_input=False)
        forward(generator)
        forward(fakes)
        backward(fakes, weights=False, first_input=True)
        backward(generator, weights=True, first_input=False)
        return 0.0, 0.0

    return step


def compare(rounds, steps):
    """Print the table of the variants."""
    x_train = mnist_gan.load_mnist_data("drawn")[0]
    variants = {
        "mnist_gan.py": this_script(x_train),
        "literal port": repeated(tutorials_loop(x_train, "predict")),
        "predict_on_batch": repeated(tutorials_loop(x_train, "predict_on_batch")),
        "floor": repeated(matrix_products()),
    }
    if find_spec("torch"):
        variants["PyTorch"] = repeated(pytorch(x_train))
    if find_spec("jax"):
        variants["JAX"] = repeated(jax_jitted(x_train))

    times = {name: [] for name in variants}
    order = list(variants)
    for take in variants.values():
        take(5)  # compiles
    for _ in range(rounds):
        for name in order:
            variants[name](3)  # warms the caches, and lets the threads of the one before rest
            times[name].append(seconds(variants[name], steps) / steps * 1000)
        order.append(order.pop(0))  # nobody always follows the same one

    print(f"{rounds} rounds of {steps} steps, batch {BATCH}; XLA: {mnist_gan.xla_works()}\n")
    print("| step | ms, median | of mnist_gan.py | of the floor |\n|---|---|---|---|")
    for name in sorted(times, key=lambda name: np.median(times[name])):
        own, floor = (
            np.median(np.divide(times[name], times[base])) for base in ("mnist_gan.py", "floor")
        )
        print(f"| {name} | {np.median(times[name]):.1f} | {own:.2f} | {floor:.2f} |")


def describe_machine():
    """Print versions and cores."""
    found = []
    for package in ("tensorflow", "keras", "numpy", "torch", "jax"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    print(f"Python {platform.python_version()}, {', '.join(found)}; {os.cpu_count()} cores")


def measure_run(epochs):
    """Print what a run on 60,000 drawn digits costs besides its steps, from a new process."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, __file__, "--inside", str(epochs)]
        subprocess.run(
            line, cwd=folder, check=True, env=os.environ | {"STARTED": repr(time.time())}
        )


def run_inside(epochs):
    """Run `train` and print where its time and memory go; the imports are done at this point."""
    imported = time.time() - float(os.environ["STARTED"])
    memory_of_imports = memory("VmRSS")
    steps = 60_000 // BATCH
    spent = {}  # seconds of each call
    ratios, shares = [], []  # of the epochs from the third on to as many bare steps
    begun = peak = bare_step = None

    def timed(owner, name, label):
        function = getattr(owner, name)

        def call(*arguments, **options):
            begun = time.perf_counter()
            result = function(*arguments, **options)
            spent.setdefault(label, []).append(time.perf_counter() - begun)
            return result

        setattr(owner, name, call)

    def save_then_take_bare_steps(run):
        nonlocal begun, peak, bare_step
        save(run)
        ended = time.perf_counter()
        if run.epoch < 2:  # the first epoch compiles
            return
        if run.epoch == 2:
            peak = memory("VmHWM")
            bare_step = make_bare_step()
        else:
            bare = seconds(repeated(bare_step), steps)
            spent.setdefault("epoch", []).append(ended - begun)
            spent.setdefault("bare", []).append(bare)
            ratios.append((ended - begun) / bare)
            shares.append(spent["save"][-1] / bare)
        begun = time.perf_counter()

    def make_bare_step():
        """Return a step without draws, batches and bar; it is compiled already."""
        train_step = mnist_gan.get_train_step(*make_networks(), BATCH)
        inputs = [mnist_gan.tf.random.normal([BATCH, n]) for n in (100, 784, 100)]

        def bare_step():
            return train_step(*inputs)

        spent["compilation"] = [seconds(bare_step)]
        return bare_step

    timed(mnist_gan, "load_mnist_data", "data")
    timed(mnist_gan, "plot_generated_images", "picture")
    timed(mnist_gan.Run, "write_checkpoint", "checkpoint")
    timed(mnist_gan.Run, "save", "save")
    save, mnist_gan.Run.save = mnist_gan.Run.save, save_then_take_bare_steps
    with contextlib.redirect_stdout(None):
        mnist_gan.train(2 + epochs, data="drawn")

    median = {label: np.median(values) for label, values in spent.items()}
    of_data = 60_000 * 784 * 4 / 2**20
    print(
        f"imports {imported:.1f} s, data {median['data']:.1f} s, "
        f"compilation {median['compilation']:.1f} s\n"
        f"an epoch {median['epoch']:.2f} s, {steps} bare steps in turn {median['bare']:.2f} s: "
        f"{np.median(ratios) - 1:.1%} more, of which the files take {np.median(shares):.1%}\n"
        f"a picture {median['picture']:.2f} s; a checkpoint {median['checkpoint']:.2f} s or "
        f"{median['checkpoint'] / median['epoch']:.1%} of an epoch\n"
        f"peak memory {peak:.0f} MiB, {peak / (memory_of_imports + of_data):.2f} times that of "
        f"the imports ({memory_of_imports:.0f}) and the data ({of_data:.0f})"
    )


def seconds(function, *arguments):
    """Return how long a call takes."""
    begun = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begun


def memory(name):
    """Return a figure of this process's memory in MiB: VmRSS is now, VmHWM the highest so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 2**10


def main():
    parser = argparse.ArgumentParser(description="Time the training step beside other ways.")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=30, help="of each variant in a round")
    parser.add_argument("--epochs", type=int, default=0, help="of a run to measure, too")
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return run_inside(arguments.inside)
    describe_machine()
    compare(arguments.rounds, arguments.steps)
    if arguments.epochs:
        print()
        measure_run(arguments.epochs)


if __name__ == "__main__":
    main()
