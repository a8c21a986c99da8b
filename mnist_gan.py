"""A GAN that learns to write digits: the 2018 Keras MNIST tutorial on current Keras and TensorFlow.

A generative adversarial network (GAN) is two networks that play against each other. The generator
turns 100 random numbers into an image of 28 x 28 pixels; the discriminator judges how likely an
image is to be a real digit. Each improves by trying to beat the other.

    python mnist_gan.py                   40 epochs on MNIST (offline: on digits drawn from fonts)
    python mnist_gan.py --epochs 400      as long as the tutorial trained
    python mnist_gan.py --resume          continue the latest run, with the options it had
    python mnist_gan.py --generate        draw new digits; different ones with --seed N

An epoch of MNIST is 468 steps, 12 to 14 seconds on two server CPU cores. Strokes appear within 5
epochs, readable digits after 20 to 40. Each run has a folder of its own: outputs/run_1, run_2, ...
"""

import argparse
import contextlib
import hashlib
import json
import os
import socket
import sys
import time
from pathlib import Path

# Keras and TensorFlow read these once, when they are imported.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import initializers
from keras.datasets import mnist
from keras.layers import Dense, Input, LeakyReLU
from keras.models import Model, Sequential
from keras.optimizers import Adam
from PIL import Image, ImageDraw, ImageFont  # Pillow comes with matplotlib.
from tqdm import tqdm

if keras.config.backend() != "tensorflow":
    raise ImportError("Keras already runs on another backend: import mnist_gan before keras")
tf.get_logger().setLevel("ERROR")  # TensorFlow would warn when `train` is called again and again.

random_dim = 100  # the length of a noise vector, as in the tutorial


def load_mnist_data(data="auto"):
    """Load the digits, with the training images scaled to the range of the generator's tanh.

    data: "auto"   Keras's MNIST, cached or downloaded; if neither works, drawn digits
          "mnist"  Keras's MNIST, or an OSError
          "drawn"  60,000 + 10,000 digits drawn with matplotlib's fonts, no network needed
          a path   an .npz file with x_train, y_train, x_test and y_test, laid out like Keras's

    Returns (x_train, y_train, x_test, y_test): training images float32 (n, 784) in [-1, 1], 1 for
    ink; the others as Keras returns them, test images uint8 (m, 28, 28) and labels (n,) and (m,).
    Raises FileNotFoundError if there is no such file, ValueError if it holds something else.
    Source: MNIST, Y. LeCun, C. Cortes and C. Burges, 1998, through keras.datasets.
    """
    (x_train, y_train), (x_test, y_test) = load_digits(data)

    x_train = (x_train.astype(np.float32) - 127.5) / 127.5
    x_train = x_train.reshape(x_train.shape[0], 784)
    return (x_train, y_train, x_test, y_test)


def get_optimizer():
    """Return the Adam optimizer that both networks share; it counts two updates per step.

    Its settings are those of DCGAN: A. Radford, L. Metz and S. Chintala, arXiv:1511.06434, 2015.
    """
    return Adam(learning_rate=0.0002, beta_1=0.5)


def get_generator(optimizer):
    """Return the generator: noise (batch, 100) -> images (batch, 784) in [-1, 1]."""
    generator = Sequential()
    generator.add(Input(shape=(random_dim,)))
    generator.add(Dense(256, kernel_initializer=initializers.RandomNormal(stddev=0.02)))
    generator.add(LeakyReLU(0.2))

    generator.add(Dense(512))
    generator.add(LeakyReLU(0.2))

    generator.add(Dense(1024))
    generator.add(LeakyReLU(0.2))

    generator.add(Dense(784, activation="tanh"))
    generator.compile(loss="binary_crossentropy", optimizer=optimizer)
    return generator


def get_discriminator(optimizer):
    """Return the discriminator: images (batch, 784) -> probability (batch, 1) that each is real."""
    discriminator = Sequential()
    discriminator.add(Input(shape=(784,)))
    discriminator.add(Dense(1024, kernel_initializer=initializers.RandomNormal(stddev=0.02)))
    discriminator.add(LeakyReLU(0.2))
    discriminator.add(Dropout(0.3))  # This is Keras's Dropout made faster, defined below.

    discriminator.add(Dense(512))
    discriminator.add(LeakyReLU(0.2))
    discriminator.add(Dropout(0.3))

    discriminator.add(Dense(256))
    discriminator.add(LeakyReLU(0.2))
    discriminator.add(Dropout(0.3))

    discriminator.add(Dense(1, activation="sigmoid"))
    # XLA, where it works, compiles a training step to faster machine code.
    discriminator.compile(loss="binary_crossentropy", optimizer=optimizer, jit_compile=xla_works())
    return discriminator


def get_gan_network(discriminator, random_dim, generator, optimizer):
    """Return the two networks chained: noise (batch, random_dim) -> probability (batch, 1)."""
    # An optimizer accepts only the weights it was built for, and this one trains both networks.
    optimizer.build(generator.trainable_variables + discriminator.trainable_variables)

    # Training the chain must change the generator only.
    discriminator.trainable = False

    gan_input = Input(shape=(random_dim,))
    x = generator(gan_input)  # images (batch, 784)
    gan_output = discriminator(x)

    gan = Model(inputs=gan_input, outputs=gan_output)
    gan.compile(loss="binary_crossentropy", optimizer=optimizer, jit_compile=xla_works())
    return gan


@plt.style.context("default")  # Ignore the user's matplotlib settings.
def plot_generated_images(
    epoch, generator, examples=100, dim=(10, 10), figsize=(10, 10), output_dir="outputs"
):
    """Save generated digits, dark on white, as `gan_generated_image_epoch_<epoch>.png`.

    examples: how many; dim: rows, columns; figsize: width, height in inches of 100 pixels.
    Raises ValueError if `dim` has too few cells, OSError if the file cannot be written.
    """
    # The noise is the same each time, so you can watch the same digits develop.
    noise = np.random.RandomState(0).normal(0, 1, size=[examples, random_dim])
    generated_images = generator.predict_on_batch(noise)
    generated_images = generated_images.reshape(examples, 28, 28)

    plt.figure(figsize=figsize)
    try:
        for i in range(generated_images.shape[0]):
            plt.subplot(dim[0], dim[1], i + 1)
            plt.imshow(generated_images[i], interpolation="nearest", cmap="gray_r", vmin=-1, vmax=1)
            plt.axis("off")
        plt.tight_layout()
        with atomic_write(Path(output_dir, f"gan_generated_image_epoch_{epoch}.png")) as path:
            plt.savefig(path)
    finally:
        plt.close()


def train(
    epochs=1,
    batch_size=128,
    *,
    data="auto",
    limit=None,
    seed=10,
    output_dir=None,
    sample_every=20,
    resume=False,
):
    """Train the GAN; save pictures, curves, the generator and a checkpoint in the run's folder.

    epochs        total number of epochs, including those before a resume
    batch_size    real images per step, drawn at random with replacement
    data          see `load_mnist_data`
    limit         train on the first `limit` images only (None: all of them)
    seed          0 to 2**32 - 1, for weights, noise, batches and Dropout
    output_dir    the run's folder (None: a new outputs/run_N; with `resume`, the latest one)
    sample_every  save a picture after the first, every `sample_every`-th and the last epoch
    resume        continue the run in the folder: pass the same arguments (`epochs` may grow)

    Returns {"d_loss": (steps,), "g_loss": (steps,)}, float32 arrays with one value per step.
    Raises ValueError or FileNotFoundError for bad arguments or files, OSError if MNIST is missing
    or a file cannot be written, FloatingPointError if a loss is no longer finite.
    """
    arguments = {"epochs": epochs, "batch_size": batch_size, "data": str(data), "limit": limit}
    arguments |= {"seed": seed, "sample_every": sample_every}
    check_arguments(arguments)
    folder, earlier = run_folder(output_dir, resume)
    x_train, y_train, x_test, y_test = load_mnist_data(data)
    x_train = x_train[:limit]
    batch_count = x_train.shape[0] // batch_size
    if batch_count == 0:
        raise InputError(f"batch_size {batch_size} is larger than the data, {len(x_train)} images")
    keras.utils.set_random_seed(seed)
    keras.config.set_floatx("float32")  # A user's keras.json may say otherwise.
    keras.config.set_dtype_policy("float32")
    adam = get_optimizer()
    generator = get_generator(adam)
    discriminator = get_discriminator(adam)
    gan = get_gan_network(discriminator, random_dim, generator, adam)

    run = Run(folder, arguments, x_train, [generator, discriminator, gan])
    epochs_done = run.start(earlier)
    for e in range(epochs_done + 1, epochs + 1):
        losses = []
        bar = tqdm(range(batch_count), desc=f"Epoch {e}", leave=False, disable=sys.stderr is None)
        for _ in bar:
            noise = np.random.normal(0, 1, size=[batch_size, random_dim])
            image_batch = x_train[np.random.randint(0, x_train.shape[0], size=batch_size)]

            generated_images = generator.predict_on_batch(noise)  # `predict` without its overhead
            X = np.concatenate([image_batch, generated_images])  # (2 * batch_size, 784)

            # One-sided label smoothing: 0.9 keeps the discriminator from becoming overconfident.
            y_dis = np.zeros(2 * batch_size)
            y_dis[:batch_size] = 0.9

            # (1) The discriminator learns to tell real images from generated ones. Keras reads
            # `trainable` only at a network's first step: True for this one, False for `gan`.
            discriminator.trainable = True
            d_loss = discriminator.train_on_batch(X, y_dis)

            # (2) The generator learns to make images that the frozen discriminator takes for real.
            noise = np.random.normal(0, 1, size=[batch_size, random_dim])
            y_gen = np.ones(batch_size)
            discriminator.trainable = False
            g_loss = gan.train_on_batch(noise, y_gen)

            losses.append((d_loss, g_loss))
            bar.set_postfix(d_loss=d_loss, g_loss=g_loss, refresh=False)

        run.add_epoch(losses)
        if e == 1 or e % sample_every == 0 or e == epochs:
            plot_generated_images(e, generator, output_dir=folder)
            run.save_gif()
        run.save()

    all_losses = np.concatenate(run.history["losses"])  # (steps of all epochs, 2)
    return {"d_loss": all_losses[:, 0], "g_loss": all_losses[:, 1]}


# ============ Supporting code. If you came for the GAN, you can stop here. ============


class InputError(ValueError):
    """Bad input from the user, not a bug."""


@keras.saving.register_keras_serializable()  # So `load_model` knows it if a generator uses it.
class Dropout(keras.layers.Dropout):
    """Keras's Dropout with random numbers that XLA draws many times faster on a CPU (Philox)."""

    def call(self, x, training=False):
        if not training:
            return x
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        return tf.nn.experimental.stateless_dropout(x, self.rate, seed, rng_alg="philox")


def xla_works():
    """Return whether this TensorFlow can compile with XLA: on some platforms it cannot."""
    with contextlib.suppress(Exception):  # Which one is raised depends on the platform.
        tf.function(tf.tanh, jit_compile=True)(tf.zeros(1))
        return True
    return False


class Run:
    """A run: its folder, its history by epoch, and everything that training changes."""

    def __init__(self, folder, arguments, x_train, networks):
        generator, discriminator, gan = networks
        self.folder = folder
        self.generator = generator
        # For each epoch: losses (steps, 2), a small picture of 100 digits, and the seconds.
        self.history = {"losses": [], "sheets": [], "seconds": []}
        self.clock = time.perf_counter()
        self.variables = gan.variables
        optimizers = dict.fromkeys([gan.optimizer, discriminator.optimizer])  # one, if shared
        for optimizer in optimizers:
            # Keras would build it at the first step, which is too late to load a checkpoint.
            optimizer.build(gan.weights)
            # The learning rate comes from the code, so a reader can change it and resume.
            self.variables += [v for v in optimizer.variables if v.name != "learning_rate"]
        self.about = {
            "arguments": arguments,
            "images": hashlib.sha256(np.ascontiguousarray(x_train)).hexdigest(),
            "random_dim": random_dim,
            "optimizers": ", ".join(type(optimizer).__name__ for optimizer in optimizers),
            "versions": {p.__name__: p.__version__ for p in (keras, tf, np, matplotlib)},
        }
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            layers = [f"{type(x).__name__} {getattr(x, 'units', '')}" for x in network.layers]
            self.about[name] = ", ".join(layer.strip() for layer in layers)

    def start(self, earlier):
        """Begin the run, or go on from an earlier run.json; return how many epochs are done."""
        if earlier is not None:
            self.check_same_run(earlier)
            if (self.folder / "checkpoint.npz").exists():  # Otherwise no epoch was finished.
                self.load()
                self.save_curves()
                self.save_gif()
        for part in self.folder.glob("mnist_gan_part_*"):
            part.unlink(missing_ok=True)  # A killed process left it.
        done = len(self.history["losses"])
        left = max(0, self.about["arguments"]["epochs"] - done)
        if left > 0:  # Otherwise run.json and script.py stay as the last epoch left them.
            with atomic_write(self.folder / "run.json") as part:
                part.write_text(json.dumps(self.about, indent=2, default=int) + "\n")
            script = Path(globals().get("__file__", ""))  # Code from standard input has no file.
            if script.is_file():
                with atomic_write(self.folder / "script.py") as part:
                    part.write_bytes(script.read_bytes())
        say(f"{self.folder}: epochs done: {done}, to go: {left}")
        return done

    def check_same_run(self, earlier):
        """Raise an InputError saying what differs, unless the run can go on as it was begun."""
        then = earlier | earlier["arguments"]
        now = self.about | self.about["arguments"]
        may_differ = ("arguments", "epochs", "data", "sample_every", "versions", "images")
        pairs = [(name, then.get(name), now[name]) for name in now if name not in may_differ]
        differences = [f"{name} was {old}, now {new}" for name, old, new in pairs if old != new]
        if then["images"] != now["images"] and then["limit"] == now["limit"]:
            found = f"data {now['data']} now gives other images"
            differences.append(f"{found}: give --data mnist, drawn or a path (in Python: data=)")
        if differences:
            raise InputError(f"the run cannot be continued: {'; '.join(differences)}")

    def load(self):
        """Load the checkpoint: variables, history and the state of NumPy's random generator."""
        path = self.folder / "checkpoint.npz"
        with reading(path, "is it another run's?"), np.load(path, allow_pickle=False) as file:
            for i, variable in enumerate(self.variables):
                variable.assign(file[f"variable_{i}"])
            self.history = {name: list(file[name]) for name in self.history}
            np.random.set_state(json.loads(str(file["random"])))

    def add_epoch(self, losses):
        """Add the losses (steps, 2) of an epoch; FloatingPointError if one is not finite."""
        finite = np.isfinite(losses).all(axis=1)
        if not finite.all():
            where = f"epoch {len(self.history['losses']) + 1}, step {np.argmin(finite) + 1}"
            raise FloatingPointError(f"{where}: a loss is not finite; try a lower learning rate")
        self.history["losses"].append(np.float32(losses))
        self.history["sheets"].append(draw_sheet(self.generator, seed=0))

    def save(self):
        """Save an epoch's results, the checkpoint last: until then the epoch does not count."""
        self.history["seconds"].append(time.perf_counter() - self.clock)
        total = self.about["arguments"]["epochs"]
        means = np.mean(self.history["losses"], axis=1)  # (epochs, 2)
        rows = np.column_stack([range(1, len(means) + 1), means, self.history["seconds"]])
        with atomic_write(self.folder / "gan_loss.csv") as part, open(part, "w") as csv:
            header = "epoch,d_loss,g_loss,seconds"
            np.savetxt(csv, rows, "%d,%.6f,%.6f,%.2f", header=header, comments="")
        self.save_curves()
        with atomic_write(self.folder / "generator.keras") as part:
            # Saved without the optimizer, which holds the discriminator's moments as well.
            Model(self.generator.inputs, self.generator.outputs, name="generator").save(part)
        state = {f"variable_{i}": v.numpy() for i, v in enumerate(self.variables)}
        state["random"] = json.dumps(np.random.get_state(legacy=False), default=np.ndarray.tolist)
        with atomic_write(self.folder / "checkpoint.npz") as part:
            np.savez(part, **state, **self.history)
        _, d_loss, g_loss, seconds = rows[-1]
        say(f"epoch {len(rows)}/{total}: d_loss {d_loss:.3f}, g_loss {g_loss:.3f}, {seconds:.1f} s")
        self.clock = time.perf_counter()

    @plt.style.context("default")
    def save_curves(self):
        """Save the curves of both losses, one mean per epoch."""
        figure = plt.Figure(figsize=(8, 4.5), layout="constrained")  # It needs no display.
        axes = figure.add_subplot()
        means = np.mean(self.history["losses"], axis=1)  # (epochs, 2)
        axes.plot(range(1, len(means) + 1), means, ".-", label=["discriminator", "generator"])
        axes.axhline(np.log(2), color="grey", linestyle="--", label="discriminator guessing: ln 2")
        axes.set(xlabel="epoch", ylabel="binary cross-entropy, mean per epoch", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
        with atomic_write(self.folder / "gan_loss.png") as part:
            figure.savefig(part)

    def save_gif(self):
        """Save the animation: the same digits after every epoch, in 8 greys to keep it small."""
        frames = [Image.fromarray(sheet).quantize(8) for sheet in self.history["sheets"]]
        times = [150] * (len(frames) - 1) + [2000]  # milliseconds
        with atomic_write(self.folder / "gan_training.gif") as part:
            frames[0].save(part, save_all=True, append_images=frames[1:], duration=times, loop=0)


def run_folder(output_dir, existing):
    """Return (folder, run.json) of an existing run, or (folder, None) of a new one, made here."""
    if output_dir is not None:
        folder = Path(os.path.expanduser(output_dir))
    else:
        found = Path("outputs").glob("run_*/run.json" if existing else "run_*")
        numbers = [path.parts[1].removeprefix("run_") for path in found]
        latest = max((int(number) for number in numbers if number.isdecimal()), default=0)
        number = latest if existing else latest + 1
        folder = Path("outputs", f"run_{number}" if number else "")
    path = folder / "run.json"
    if existing:
        with reading(path, "train first, or name the folder of a run"):
            about = json.loads(path.read_text())
            if "optimizers" not in about:
                raise ValueError("an earlier version of this script wrote it")
            return folder, about
    if path.exists():
        advice = "continue it with --resume (in Python: resume=True), or name another folder"
        raise InputError(f"{folder} already holds a run: {advice}")
    try:
        folder.mkdir(parents=True, exist_ok=output_dir is not None)
    except OSError as error:
        if output_dir is None and folder.is_dir():
            return run_folder(output_dir, existing)  # Another run took this number: try the next.
        raise InputError(f"output_dir {folder} cannot be created: {error}") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"output_dir {folder} is not writable")
    return folder, None


@contextlib.contextmanager
def reading(path, advice):
    """Name the file and give advice if it cannot be read: a damaged one can raise any error."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist; {advice}") from error
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(f"{path} cannot be used ({error}); {advice}") from error


@contextlib.contextmanager
def atomic_write(path):
    """Yield a temporary path; on success it replaces `path`, which is never half-written."""
    part = path.with_name(f"mnist_gan_part_{os.getpid()}_{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        os.replace(part, path)
    except (OSError, ValueError) as error:  # Keras and zipfile raise ValueError, too.
        raise OSError(f"{path} cannot be written ({error})") from error
    finally:
        part.unlink(missing_ok=True)


def say(text):
    """Print a line at once, escaping what the terminal's encoding lacks."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def draw_sheet(generator, seed):
    """Return 100 generated digits as one small picture, uint8 (280, 280), dark on white."""
    noise = np.random.RandomState(seed).normal(0, 1, size=[100, generator.input_shape[1]])
    images = generator.predict_on_batch(noise).reshape(10, 10, 28, 28)
    return np.uint8(127.5 - 127.5 * images).swapaxes(1, 2).reshape(280, 280)


def load_digits(data):
    """Return ((x_train, y_train), (x_test, y_test)) like Keras's; data: see `load_mnist_data`."""
    if data not in ("auto", "mnist", "drawn"):
        return read_digits(data)
    if data != "drawn":
        try:
            return mnist.load_data()
        except Exception as error:  # Keras raises a bare Exception if the download fails.
            reason = f"MNIST is not available ({str(error).split(' -- ')[-1]})"
            if data == "mnist":
                raise OSError(f"{reason}; go online, or give a copy: --data PATH") from error
            print(f"{reason}: training on drawn digits", file=sys.stderr)
    return draw_digits(60_000, seed=0), draw_digits(10_000, seed=1)


def read_digits(path):
    """Return ((x_train, y_train), (x_test, y_test)) from an .npz file laid out like Keras's."""
    advice = "give --data auto, mnist, drawn or an .npz file like Keras's (in Python: data=...)"
    with reading(f"data '{path}'", advice), np.load(path, allow_pickle=False) as file:
        train = np.asarray(file["x_train"]), np.asarray(file["y_train"])
        test = np.asarray(file["x_test"]), np.asarray(file["y_test"])
    for x, y in (train, test):
        if x.dtype != np.uint8 or x.shape != (y.size, 28, 28) or y.ndim != 1 or y.size == 0:
            found = f"{x.dtype} {x.shape} and {y.dtype} {y.shape}"
            raise InputError(f"{path} holds {found}, not images uint8 (n, 28, 28) and labels (n,)")
    return train, test


def draw_digits(count, seed):
    """Return digits drawn from fonts, images uint8 (count, 28, 28) and labels uint8 (count,)."""
    names = ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol"]
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    fonts = [ImageFont.truetype(folder / f"{n}.ttf", size) for n in names for size in range(24, 30)]
    rng = np.random.RandomState(seed)  # its own, so that every run draws the same digits
    labels = rng.randint(0, 10, count).astype(np.uint8)
    choices = rng.randint(0, len(fonts), count)
    angles = rng.normal(0, 8, count)  # degrees
    shifts = rng.normal(0, 0.6, (count, 2))  # pixels
    images = np.empty((count, 28, 28), np.uint8)
    for i in range(count):
        glyph = Image.new("L", (28, 28))
        font = fonts[choices[i]]
        ImageDraw.Draw(glyph).text((14, 14.5), str(labels[i]), 255, font, anchor="mm")
        images[i] = glyph.rotate(angles[i], Image.BILINEAR, translate=tuple(shifts[i]))
    return images, labels


def check_arguments(arguments):
    """Raise InputError unless every number is whole and in range."""
    for name, value in arguments.items():
        lowest = 0 if name == "seed" else 1
        valid = isinstance(value, (int, np.integer)) and lowest <= value < 2**32
        if not valid and name != "data" and (name, value) != ("limit", None):
            raise InputError(f"{name} must be a whole number, {lowest} to 2**32 - 1, not {value!r}")


def generate(folder, seed):
    """Save a sheet of 100 new digits, drawn by the generator of a run."""
    check_arguments({"seed": seed})
    source = folder / "generator.keras"
    with reading(source, "a run saves its generator after every epoch"):
        open(source, "rb").close()  # Keras does not say why it cannot read a file.
        sheet = draw_sheet(keras.models.load_model(source, compile=False), seed)
    path = folder / f"gan_generated_image_seed_{seed}.png"
    with atomic_write(path) as part:
        Image.fromarray(sheet).resize((1000, 1000), Image.NEAREST).save(part)
    say(f"saved {path}")


def main():
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser("mnist_gan.py", allow_abbrev=False)
    parser.argument_default = argparse.SUPPRESS  # An option not given is absent from `given`.
    parser.add_argument("--epochs", type=int, help="total number of epochs (40)")
    parser.add_argument("--batch-size", type=int, help="real images per step (128)")
    parser.add_argument("--data", help="auto, mnist, drawn, or the path of an .npz file (auto)")
    parser.add_argument("--limit", type=int, help="train on the first LIMIT images only (all)")
    parser.add_argument("--seed", type=int, help="a different seed gives different digits (10)")
    parser.add_argument("--sample-every", type=int, help="epochs between saved pictures (20)")
    parser.add_argument("--output-dir", help="the run's folder (a new or the latest outputs/run_N)")
    parser.add_argument("--resume", action="store_true", help="continue a run with its options")
    parser.add_argument("--generate", action="store_true", help="draw new digits, train nothing")
    given = vars(parser.parse_args())
    plt.switch_backend("agg")  # Pictures go to files, with a display or without.
    socket.setdefaulttimeout(20)  # Keras sets no timeout, and some networks never answer.
    folder = None
    try:
        existing = "resume" in given or "generate" in given
        folder, earlier = run_folder(given.get("output_dir"), existing)
        if "generate" in given:
            generate(folder, given.get("seed", 10))
            return 0
        options = earlier["arguments"] if existing else {"epochs": 40}
        train(**options | given | {"output_dir": folder})
        say(f"{folder}: pictures, curves and the generator are in this folder")
        return 0
    except KeyboardInterrupt:
        code, line = 130, "interrupted"
        if folder is not None and (folder / "run.json").exists():
            line += f'; to continue: python mnist_gan.py --resume --output-dir "{folder}"'
    except (InputError, OSError, FloatingPointError, MemoryError) as error:
        code = 2 if isinstance(error, (InputError, FileNotFoundError)) else 1
        line = f"error: {' '.join(str(error).split()) or 'not enough memory'}"
    if folder is not None and "output_dir" not in given:
        with contextlib.suppress(OSError):
            folder.rmdir()  # This works only if the run did not begin.
    print(f"mnist_gan.py: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    exit_code = main()
    if exit_code == 130:
        os._exit(exit_code)  # At once: a second Ctrl-C could disturb Python's shutdown.
    sys.exit(exit_code)
