"""The tutorial's program on its own stack of 2018: what the port is checked against.

It needs Python 3.6 and an environment of its own, apart from the project's:

    python3.6 -m venv 2018 && 2018/bin/pip install --upgrade "pip<22"
    2018/bin/pip install tensorflow==1.11.0 keras==2.2.4 "numpy<1.17" "h5py<3" "protobuf<3.20" \
        matplotlib tqdm

    2018/bin/python tests/tools/record_trace.py
        writes `tests/trace_2018.json` and `tests/trace_2018_small.json`, in half a minute
    2018/bin/python tests/tools/record_trace.py --train mnist.npz --seed 10 --output-dir original_10
        trains 20 epochs, half a minute each, and keeps sheets, losses and 10,000 samples after
        epochs 1, 5, 10 and 20 for `quality.py`
    python tests/tools/benchmark.py --python-2018 2018/bin/python
        times its steps beside the others; run this one in the project's environment

The functions are the tutorial's, misspelt name included. What differs from its text: Python 3's
`print` and `range`, MNIST read from a file, a name for the rate of Dropout, data and networks
passed to `train`, plots only if wanted, and a `yield` of each step's losses. Keras 2 draws the
seeds of weights and Dropout from NumPy, so `np.random.seed` is enough to repeat a run.
"""

import argparse
import contextlib
import json
import os
import sys

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from keras import initializers
from keras.layers import Input
from keras.layers.advanced_activations import LeakyReLU
from keras.layers.core import Dense, Dropout
from keras.models import Model, Sequential
from keras.optimizers import Adam
from tqdm import tqdm

matplotlib.use("agg")
import matplotlib.pyplot as plt

random_dim = 100
dropout_rate = 0.3
mnist_path = "mnist.npz"
tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def load_minst_data():
    with np.load(mnist_path) as mnist:
        x_train, y_train, x_test, y_test = (
            mnist[name] for name in ("x_train", "y_train", "x_test", "y_test")
        )
    x_train = (x_train.astype(np.float32) - 127.5) / 127.5
    x_train = x_train.reshape(60000, 784)
    return (x_train, y_train, x_test, y_test)


def get_optimizer():
    return Adam(lr=0.0002, beta_1=0.5)


def get_generator(optimizer):
    init = initializers.RandomNormal(stddev=0.02)
    generator = Sequential()
    generator.add(Dense(256, input_dim=random_dim, kernel_initializer=init))
    generator.add(LeakyReLU(0.2))

    generator.add(Dense(512))
    generator.add(LeakyReLU(0.2))

    generator.add(Dense(1024))
    generator.add(LeakyReLU(0.2))

    generator.add(Dense(784, activation="tanh"))
    generator.compile(loss="binary_crossentropy", optimizer=optimizer)
    return generator


def get_discriminator(optimizer):
    init = initializers.RandomNormal(stddev=0.02)
    discriminator = Sequential()
    discriminator.add(Dense(1024, input_dim=784, kernel_initializer=init))
    discriminator.add(LeakyReLU(0.2))
    discriminator.add(Dropout(dropout_rate))

    discriminator.add(Dense(512))
    discriminator.add(LeakyReLU(0.2))
    discriminator.add(Dropout(dropout_rate))

    discriminator.add(Dense(256))
    discriminator.add(LeakyReLU(0.2))
    discriminator.add(Dropout(dropout_rate))

    discriminator.add(Dense(1, activation="sigmoid"))
    discriminator.compile(loss="binary_crossentropy", optimizer=optimizer)
    return discriminator


def get_gan_network(discriminator, random_dim, generator, optimizer):
    discriminator.trainable = False
    gan_input = Input(shape=(random_dim,))
    x = generator(gan_input)
    gan_output = discriminator(x)
    gan = Model(inputs=gan_input, outputs=gan_output)
    gan.compile(loss="binary_crossentropy", optimizer=optimizer)
    return gan


def plot_generated_images(epoch, generator, examples=100, dim=(10, 10), figsize=(10, 10)):
    noise = np.random.normal(0, 1, size=[examples, random_dim])
    generated_images = generator.predict(noise)
    generated_images = generated_images.reshape(examples, 28, 28)

    plt.figure(figsize=figsize)
    for i in range(generated_images.shape[0]):
        plt.subplot(dim[0], dim[1], i + 1)
        plt.imshow(generated_images[i], interpolation="nearest", cmap="gray_r")
        plt.axis("off")
    plt.tight_layout()
    plt.savefig("gan_generated_image_epoch_%d.png" % epoch)


def get_networks():
    """The lines of the tutorial's `train` that make the networks, apart so weights can be set."""
    adam = get_optimizer()
    generator = get_generator(adam)
    discriminator = get_discriminator(adam)
    gan = get_gan_network(discriminator, random_dim, generator, adam)
    return generator, discriminator, gan


def train(x_train, generator, discriminator, gan, epochs, batch_size, plot):
    """The tutorial's loop; it yields (d_loss, g_loss) after each step."""
    batch_count = x_train.shape[0] // batch_size
    for e in range(1, epochs + 1):
        print("-" * 15, "Epoch %d" % e, "-" * 15)
        for _ in tqdm(range(batch_count)):
            noise = np.random.normal(0, 1, size=[batch_size, random_dim])
            image_batch = x_train[np.random.randint(0, x_train.shape[0], size=batch_size)]

            generated_images = generator.predict(noise)
            X = np.concatenate([image_batch, generated_images])

            y_dis = np.zeros(2 * batch_size)
            y_dis[:batch_size] = 0.9

            discriminator.trainable = True
            d_loss = discriminator.train_on_batch(X, y_dis)

            noise = np.random.normal(0, 1, size=[batch_size, random_dim])
            y_gen = np.ones(batch_size)
            discriminator.trainable = False
            g_loss = gan.train_on_batch(noise, y_gen)
            yield float(d_loss), float(g_loss)

        if plot and (e == 1 or e % 20 == 0):
            plot_generated_images(e, generator)


def use_one_thread():
    """Keras 2 updates the shared Adam's counter in an operation of its own: threads would race."""
    config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    keras.backend.set_session(tf.Session(config=config))


def set_weights(networks, seed):
    """Draw every weight from a normal distribution, so any framework can start from the same."""
    random = np.random.RandomState(seed)
    for network in networks:
        shapes = [weight.shape for weight in network.get_weights()]
        network.set_weights([random.normal(0, 0.05, shape) for shape in shapes])


def describe(network):
    weights = [weight.astype(np.float64) for weight in network.get_weights()]
    return [
        {"shape": list(w.shape), "sum": float(w.sum()), "l2": float(np.linalg.norm(w))}
        for w in weights
    ]


def record(name, n, batch, epochs, init_seed, data_seed, stream_seed):
    """Write a trace: the losses of each step, and the sum and L2 norm of each final weight."""
    keras.backend.clear_session()
    use_one_thread()
    pixels = np.random.RandomState(data_seed).randint(0, 256, (n, 784)).astype(np.uint8)
    x_train = (pixels.astype(np.float32) - 127.5) / 127.5
    generator, discriminator, gan = get_networks()
    set_weights([generator, discriminator], init_seed)
    np.random.seed(stream_seed)
    losses = list(train(x_train, generator, discriminator, gan, epochs, batch, plot=False))
    trace = {
        "note": "The tutorial's loop on Keras %s, TensorFlow %s and NumPy %s, one thread, Dropout "
        "rates 0; recorded by tests/tools/record_trace.py, whose docstring and code say how."
        % (keras.__version__, tf.__version__, np.__version__),
        "n": n,
        "batch": batch,
        "epochs": epochs,
        "init_seed": init_seed,
        "data_seed": data_seed,
        "stream_seed": stream_seed,
        "d_loss": [d_loss for d_loss, _ in losses],
        "g_loss": [g_loss for _, g_loss in losses],
        "generator": describe(generator),
        "discriminator": describe(discriminator),
    }
    with open(os.path.join(tests, name), "w") as file:
        json.dump(trace, file, indent=1)
        file.write("\n")


def keep_original(folder, seed, epochs):
    """Train as the tutorial does; keep sheets, losses, and samples for `quality.py`."""
    os.makedirs(folder)
    os.chdir(folder)
    np.random.seed(seed)
    x_train, y_train, x_test, y_test = load_minst_data()
    generator, discriminator, gan = get_networks()
    steps = x_train.shape[0] // 128
    losses = []
    for step_losses in train(x_train, generator, discriminator, gan, epochs, 128, plot=True):
        losses.append(step_losses)
        epoch = len(losses) // steps
        if len(losses) % steps == 0 and epoch in (1, 5, 10, 20):
            noise = np.random.RandomState(10).normal(0, 1, size=[10000, random_dim])
            samples = generator.predict(noise, batch_size=500)
            np.save("samples_epoch_%d.npy" % epoch, samples)
    means = np.reshape(losses, (epochs, steps, 2)).mean(axis=1)
    rows = np.column_stack([range(1, epochs + 1), means])
    np.savetxt("losses.csv", rows, "%d,%.6f,%.6f", header="epoch,d_loss,g_loss", comments="")


def step_on_request():
    """Take a step for each line of standard input, and answer with its losses."""
    x_train = np.random.uniform(-1, 1, (60000, 784)).astype(np.float32)
    losses = train(x_train, *get_networks(), epochs=1000, batch_size=128, plot=False)
    with open(os.devnull, "w") as nowhere:
        for _ in sys.stdin:
            # The answers go to standard output, so the headings and the bar must not.
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                d_loss, g_loss = next(losses)
            print(d_loss, g_loss, flush=True)


def main():
    global dropout_rate, mnist_path
    parser = argparse.ArgumentParser(description="Run the tutorial's program on its own stack.")
    parser.add_argument("--train", metavar="MNIST", help="train on this mnist.npz; no traces")
    parser.add_argument("--seed", type=int, default=10, help="of --train")
    parser.add_argument("--epochs", type=int, default=20, help="of --train")
    parser.add_argument("--output-dir", default="original", help="of --train; a new folder")
    parser.add_argument("--step-on-request", action="store_true", help="for benchmark.py")
    arguments = parser.parse_args()
    if arguments.step_on_request:
        step_on_request()
    elif arguments.train:
        mnist_path = os.path.abspath(arguments.train)
        keep_original(arguments.output_dir, arguments.seed, arguments.epochs)
    else:
        dropout_rate = 0.0
        record("trace_2018.json", 512, 128, 5, init_seed=7, data_seed=123, stream_seed=10)
        record("trace_2018_small.json", 400, 64, 4, init_seed=21, data_seed=5, stream_seed=77)


if __name__ == "__main__":
    main()
