"""A GAN that learns to write digits: the 2018 Keras MNIST tutorial on current Keras and TensorFlow.

A generative adversarial network (GAN) is two networks that play against each other. The generator
turns 100 random numbers into an image of 28 x 28 pixels; the discriminator judges how likely an
image is to be a real digit. Each improves by trying to beat the other.

    python mnist_gan.py                   40 epochs on MNIST (offline: on digits drawn from fonts)
    python mnist_gan.py --epochs 400      as long as the tutorial trained
    python mnist_gan.py --resume          continue an interrupted run; repeat its other options
    python mnist_gan.py --generate        draw new digits; different ones with --seed N

An epoch of MNIST is 468 steps, about 12 seconds on two server CPU cores. Specks become strokes
within 5 epochs and mostly digits within 20 to 40. All results go to `outputs/`.
"""

import argparse
import contextlib
import hashlib
import json
import os
import socket
import sqlite3
import sys
import time
import warnings
from pathlib import Path

# Keras and TensorFlow read these once, when they are imported.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib.figure
import numpy as np
import tensorflow as tf
from keras import initializers
from keras.datasets import mnist
from keras.layers import Dense, Input, LeakyReLU
from keras.models import Model, Sequential
from keras.optimizers import Adam
from PIL import Image, ImageDraw, ImageFont, ImageOps  # Pillow comes with matplotlib
from tqdm import tqdm

tf.get_logger().setLevel("ERROR")  # else it warns of retracing when training is repeated
__all__ = ["load_mnist_data", "get_optimizer", "get_generator", "get_discriminator"]
__all__ += ["get_gan_network", "plot_generated_images", "train", "random_dim"]
random_dim = 100  # length of a noise vector, as in the tutorial


def load_mnist_data(data="auto"):
    """Load handwritten digits, the training images scaled to the range of the generator's tanh.

    data: "auto"   Keras's MNIST, cached or downloaded; if neither works, drawn digits
          "mnist"  Keras's MNIST or an OSError
          "drawn"  60,000 + 10,000 digits drawn with matplotlib's fonts, no network needed
          a path   an .npz file with x_train, y_train, x_test and y_test, like Keras's

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
    """Return the Adam optimizer that both networks share, as in the tutorial.

    Its settings are those of Radford et al., "Unsupervised Representation Learning with Deep
    Convolutional GANs", 2015. Shared, it counts two updates per step; separate ones count one each.
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
    discriminator.add(Dropout(0.3))  # Keras's Dropout with faster random numbers (see below)

    discriminator.add(Dense(512))
    discriminator.add(LeakyReLU(0.2))
    discriminator.add(Dropout(0.3))

    discriminator.add(Dense(256))
    discriminator.add(LeakyReLU(0.2))
    discriminator.add(Dropout(0.3))

    discriminator.add(Dense(1, activation="sigmoid"))
    discriminator.compile(loss="binary_crossentropy", optimizer=optimizer)
    return discriminator


def get_gan_network(discriminator, random_dim, generator, optimizer):
    """Return the two networks chained: noise (batch, random_dim) -> probability (batch, 1)."""
    # An optimizer accepts only the variables it was built with, so build it for both networks.
    optimizer.build(generator.trainable_variables + discriminator.trainable_variables)

    # Frozen here, so that training the chain changes the generator only.
    discriminator.trainable = False

    gan_input = Input(shape=(random_dim,))
    x = generator(gan_input)  # images (batch, 784)
    gan_output = discriminator(x)

    gan = Model(inputs=gan_input, outputs=gan_output)
    gan.compile(loss="binary_crossentropy", optimizer=optimizer)
    return gan


def plot_generated_images(
    epoch, generator, examples=100, dim=(10, 10), figsize=(10, 10), output_dir="outputs"
):
    """Save generated digits, dark on white, as `gan_generated_image_epoch_<epoch>.png`.

    examples: how many; dim: rows and columns; figsize: width and height in units of 100 pixels.
    Raises ValueError if `dim` has too few cells, OSError if the file cannot be written.
    """
    # Every call draws the same noise, so you can watch the same digits develop.
    noise = np.random.RandomState(0).normal(0, 1, size=[examples, random_dim])
    generated_images = generator.predict_on_batch(noise)
    generated_images = generated_images.reshape(examples, 28, 28)

    with atomic_write(Path(output_dir, f"gan_generated_image_epoch_{epoch}.png")) as path:
        draw_sheet(generated_images, dim, figsize).save(path)


def get_train_step(generator, discriminator, gan, batch_size):
    """Return a function that runs one training step, compiled because that is several times faster.

    It takes noise (batch_size, 100), real images (batch_size, 784) and fresh noise, and returns the
    two losses. TensorFlow runs the lines below only once and records them; which weights an update
    changes is fixed then, by `trainable`.
    """

    @tf.function(jit_compile=xla_works())
    def train_step(noise, image_batch, fresh_noise):
        generated_images = generator(noise, training=False)
        X = tf.concat([image_batch, generated_images], axis=0)  # (2 * batch_size, 784)

        # One-sided label smoothing: 0.9 keeps the discriminator from becoming overconfident.
        y_dis = np.zeros(2 * batch_size)
        y_dis[:batch_size] = 0.9

        # (1) The discriminator learns to tell real images from generated ones.
        discriminator.trainable = True
        d_loss = train_on_batch(discriminator, X, y_dis)

        # (2) The generator learns to make images that the frozen discriminator takes for real.
        y_gen = np.ones(batch_size)
        discriminator.trainable = False
        g_loss = train_on_batch(gan, fresh_noise, y_gen)
        return d_loss, g_loss

    return train_step


def train_on_batch(network, x, y):
    """Do what Keras's method of this name does, which cannot be called in a `tf.function`."""
    with tf.GradientTape() as tape:
        loss = network.compute_loss(x=x, y=y, y_pred=network(x, training=True))
    weights = network.trainable_variables
    network.optimizer.apply(tape.gradient(loss, weights), weights)
    return loss


def train(
    epochs=1,
    batch_size=128,
    *,
    data="auto",
    limit=None,
    seed=10,
    output_dir="outputs",
    sample_every=20,
    resume=False,
):
    """Train the GAN; save pictures, curves, the generator and a checkpoint in `output_dir`.

    epochs        rounds of n // batch_size steps, in total: a resumed run counts those done before
    batch_size    real images per step, drawn at random with replacement
    data          see `load_mnist_data`
    limit         train on the first `limit` images only (None: all)
    seed          0 to 2**32 - 1, for weights, noise, batches and dropout
    sample_every  save a picture after the first, every `sample_every`-th and the last epoch
    resume        continue from the checkpoint in `output_dir`, exactly as if it had never stopped

    Returns {"d_loss": (steps,), "g_loss": (steps,)}, float32 arrays with one value per step.
    Raises ValueError or FileNotFoundError for invalid arguments or files, OSError if a file cannot
    be written, FloatingPointError if a loss is no longer finite.
    """
    arguments = validate(epochs, batch_size, data, limit, seed, output_dir, sample_every, resume)
    x_train, y_train, x_test, y_test = load_mnist_data(data)  # a GAN needs no labels
    x_train = x_train[:limit]
    batch_count = x_train.shape[0] // batch_size
    if batch_count == 0:
        raise InputError(f"batch_size {batch_size} is larger than the data, {len(x_train)} images")

    with training_session(output_dir, resume) as history:
        keras.utils.set_random_seed(seed)
        adam = get_optimizer()
        generator = get_generator(adam)
        discriminator = get_discriminator(adam)
        gan = get_gan_network(discriminator, random_dim, generator, adam)
        train_step = get_train_step(generator, discriminator, gan, batch_size)

        run = start_or_resume(arguments, x_train, y_train, history, generator, discriminator, gan)
        for e in range(len(history["losses"]) + 1, epochs + 1):
            losses = []
            start = time.perf_counter()
            bar = tqdm(range(batch_count), f"Epoch {e}/{epochs}", leave=False, bar_format=BAR)
            for _ in bar:
                noise = np.random.normal(0, 1, size=[batch_size, random_dim])
                image_batch = x_train[np.random.randint(0, x_train.shape[0], size=batch_size)]
                fresh_noise = np.random.normal(0, 1, size=[batch_size, random_dim])
                d_loss, g_loss = train_step(noise, image_batch, fresh_noise)
                record_losses(losses, bar, d_loss, g_loss)

            if e == 1 or e % sample_every == 0 or e == epochs:
                plot_generated_images(e, generator, output_dir=output_dir)
            save_epoch(run, history, generator, losses, start)

    d_loss, g_loss = np.concatenate(history["losses"]).T
    return {"d_loss": d_loss, "g_loss": g_loss}


# ============ Supporting code. If you came for the GAN, you can stop here. ============
# tqdm's usual bar without the steps per second, to leave room for the losses in 80 columns.
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class InputError(ValueError):
    """Invalid arguments or files, rather than a mistake in the code."""


@keras.saving.register_keras_serializable()  # for readers who add Dropout to the generator
class Dropout(keras.layers.Dropout):
    """Keras's Dropout, with random bits that XLA draws several times faster on a CPU."""

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        bits = tf.random.stateless_uniform(tf.shape(x), seed, None, None, "uint32", alg="philox")
        uniform = tf.cast(bits // 2**9, tf.float32) / 2**23  # exact in float32, with XLA or not
        return tf.where(uniform >= self.rate, x / (1 - self.rate), 0.0)


def xla_works():
    """Return whether this TensorFlow can compile with XLA: on some platforms it cannot."""
    try:
        tf.function(tf.tanh, jit_compile=True)(tf.zeros(1))
    except Exception:  # which one depends on the platform; training works without XLA, too
        return False
    return True


def load_digits(data):
    """Return ((x_train, y_train), (x_test, y_test)) like Keras's; data: see `load_mnist_data`."""
    if data not in ("auto", "mnist", "drawn"):
        return read_digits(data)
    timeout = socket.getdefaulttimeout()
    try:
        if data != "drawn":
            socket.setdefaulttimeout(20)  # Keras sets none, and some networks never answer
            return mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception if the download fails
        reason = f"MNIST is not available ({str(error).split(' -- ')[-1]})"
        advice = "connect once or pass a copy: --data PATH (in Python, data=PATH)"
        if data == "mnist":
            raise OSError(f"{reason}; {advice}") from error
        with warnings.catch_warnings(action="always"):  # a notebook would show only the first
            warnings.warn(f"{reason}, using drawn digits; for MNIST, {advice}", stacklevel=3)
    finally:
        socket.setdefaulttimeout(timeout)
    return draw_digits(60_000, seed=0), draw_digits(10_000, seed=1)


def read_digits(path):
    """Return ((x_train, y_train), (x_test, y_test)) from an .npz file in the layout of Keras's."""
    if not Path(path).exists():
        raise FileNotFoundError(f"data {str(path)!r}: no such file, and not auto, mnist or drawn")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file}
    except Exception as error:  # a damaged file can fail in any of zipfile, zlib and NumPy
        raise InputError(f"{path} is not a complete .npz file of plain arrays") from error
    if missing := {"x_train", "y_train", "x_test", "y_test"} - arrays.keys():
        raise InputError(f"{path} lacks {', '.join(sorted(missing))}; it holds {', '.join(arrays)}")
    digits = [(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test")]
    for x, y in digits:
        if x.dtype != np.uint8 or x.shape != (y.size, 28, 28) or y.ndim != 1 or y.size == 0:
            found = f"{x.dtype} {x.shape} and {y.dtype} {y.shape}"
            raise InputError(f"{path} holds {found}, not images uint8 (n, 28, 28) and labels (n,)")
    return digits


def draw_digits(count, seed):
    """Return digits drawn from fonts, images uint8 (count, 28, 28) and labels uint8 (count,)."""
    names = ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol"]
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    fonts = [ImageFont.truetype(folder / f"{n}.ttf", size) for n in names for size in range(24, 30)]
    glyphs = [[Image.new("L", (28, 28)) for _ in range(10)] for _ in fonts]
    for font, row in zip(fonts, glyphs):
        for digit, glyph in enumerate(row):
            ImageDraw.Draw(glyph).text((14, 14.5), str(digit), fill=255, font=font, anchor="mm")
    rng = np.random.RandomState(seed)  # its own, so that every run draws the same digits
    labels = rng.randint(0, 10, count).astype(np.uint8)
    choices = rng.randint(0, len(fonts), count)
    angles = rng.normal(0, 8, count)  # degrees
    shifts = rng.normal(0, 0.6, (count, 2))  # pixels
    images = np.empty((count, 28, 28), np.uint8)
    for i in range(count):
        glyph = glyphs[choices[i]][labels[i]]
        images[i] = glyph.rotate(angles[i], Image.BILINEAR, translate=tuple(shifts[i]))
    return images, labels


def generate_sheet(generator, seed, figsize):
    """Return a sheet of 100 generated digits, see `draw_sheet`."""
    noise = np.random.RandomState(seed).normal(0, 1, size=[100, random_dim])
    return draw_sheet(generator.predict_on_batch(noise).reshape(100, 28, 28), (10, 10), figsize)


def draw_sheet(images, dim, figsize):
    """Return one picture of images (n, 28, 28); see `plot_generated_images` for dim and figsize."""
    rows, columns = dim
    if len(images) > rows * columns:
        raise InputError(f"dim {dim} has too few cells for {len(images)} images")
    cells = np.full((rows, columns, 31, 31), 255, np.uint8)  # with white between the digits
    pixels = np.round((1 - np.clip(images, -1, 1)) * 127.5)
    cells.reshape(-1, 31, 31)[: len(images), 1:29, 1:29] = pixels
    sheet = Image.fromarray(cells.swapaxes(1, 2).reshape(31 * rows, 31 * columns))
    return ImageOps.pad(sheet, [round(100 * x) for x in figsize], Image.NEAREST, color=255)


def plot_history(folder, history):
    """Save the curves of both losses, and a GIF of the same digits after every epoch."""
    epochs, means = len(history["losses"]), np.mean(history["losses"], axis=1)  # (epochs, 2)
    with matplotlib.rc_context():  # so that the reader's own settings neither matter nor change
        matplotlib.rcdefaults()
        figure = matplotlib.figure.Figure((8, 4.5), layout="constrained")  # needs no display
        axes = figure.add_subplot()
        axes.plot(range(1, epochs + 1), means, ".-", label=["discriminator", "generator"])
        axes.axhline(np.log(2), color="grey", linestyle="--", label="discriminator guessing: ln 2")
        axes.set(xlabel="epoch", ylabel="binary cross-entropy, mean per epoch", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
        with atomic_write(folder / "gan_loss.png") as part:
            figure.savefig(part, dpi=100)
    frames = []
    for epoch, sheet in enumerate(history["sheets"], start=1):
        frame = ImageOps.expand(Image.fromarray(sheet), (0, 0, 0, 20), fill=255)
        ImageDraw.Draw(frame).text((155, 319), f"epoch {epoch}", fill=0, anchor="mm", font_size=14)
        frames.append(frame.quantize(8))  # few greys make a small file
    durations = [min(500, 100 + 4000 // epochs)] * (len(frames) - 1) + [2000]  # milliseconds
    with atomic_write(folder / "gan_training.gif") as part:
        frames[0].save(part, save_all=True, append_images=frames[1:], duration=durations, loop=0)


@contextlib.contextmanager
def training_session(output_dir, resume):
    """Lock the folder and set float32 while training; yield an empty history of epochs."""
    folder, history = Path(output_dir), {"losses": [], "sheets": [], "seconds": []}
    if resume and not (folder / "checkpoint.npz").exists():
        raise FileNotFoundError(f"{folder / 'checkpoint.npz'}: no checkpoint to resume from")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(folder / "checkpoint.lock", timeout=0)
        lock.execute("BEGIN EXCLUSIVE")  # SQLite's lock ends with the process, even killed
    except (OSError, sqlite3.Error) as error:
        message = f"output_dir {folder} cannot be written to, or another run is using it"
        raise InputError(f"{message} ({error})") from error
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 (if closed: tqdm needs one)
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    with contextlib.closing(lock):
        try:
            yield history
        except KeyboardInterrupt:
            saved = len(history["seconds"]) or ("as before" if resume else 0)
            advice = "add --resume to the command (Python: resume=True)" if saved else "start again"
            interruption = KeyboardInterrupt(f"interrupted; epochs saved: {saved}; {advice}")
            interruption._render_traceback_ = lambda: interruption.args  # all that IPython shows
            raise interruption from None
        finally:
            keras.config.set_floatx(floatx)
            keras.config.set_dtype_policy(policy)
            if history["losses"]:
                plot_history(folder, history)


@contextlib.contextmanager
def atomic_write(path):
    """Yield a temporary path; on success it replaces `path`, which is never half-written."""
    part = path.with_name(f"part-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())  # or a power cut could leave an empty file
        os.replace(part, path)
    except OSError as error:
        raise OSError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def start_or_resume(arguments, x_train, y_train, history, generator, discriminator, gan):
    """Load the checkpoint or move an earlier run aside; return what `save_epoch` needs."""
    about = {"arguments": arguments, "data": arguments["data"]}
    if about["data"] in ("auto", "mnist"):  # MNIST begins with these labels
        about["data"] = "MNIST" if list(y_train[:5]) == [5, 0, 4, 1, 9] else "drawn"
    about["sha256"] = hashlib.sha256(np.ascontiguousarray(x_train)).hexdigest()
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        layers = [f"{type(x).__name__} {getattr(x, 'units', '')}".strip() for x in network.layers]
        about[name] = ", ".join([*layers, type(network.optimizer).__name__])
    # All that training changes, except the learning rate, which comes from the code.
    discriminator.trainable = True
    discriminator.optimizer.build(discriminator.trainable_variables)  # if it has one of its own
    discriminator.trainable = False
    gan.optimizer.build(gan.trainable_variables)
    variables = gan.variables
    for optimizer in dict.fromkeys([discriminator.optimizer, gan.optimizer]):  # one, if shared
        variables += [v for v in optimizer.variables if v.name != "learning_rate"]
    run = {"folder": Path(arguments["output_dir"]), "about": about, "variables": variables}
    if arguments["resume"]:
        load_checkpoint(run, history)
        print(f"epochs done: {len(history['losses'])} of {arguments['epochs']}", flush=True)
    else:
        move_earlier_run(run["folder"])
    packages = ("keras", "tensorflow", "numpy", "matplotlib", "PIL", "tqdm")
    versions = {"python": sys.version} | {p: sys.modules[p].__version__ for p in packages}
    with atomic_write(run["folder"] / "run.json") as part:
        part.write_text(json.dumps(about | {"versions": versions}, indent=2) + "\n")
    return run


def move_earlier_run(folder):
    """Move what an earlier run left, if more than run.json, into a numbered folder."""
    patterns = ["gan_*_[0-9]*.png", "gan_loss.*", "gan_training.gif", "generator.keras"]
    patterns += ["checkpoint.npz", "run.json"]  # last: the next run finishes a move cut short
    names = [path.name for pattern in patterns for path in folder.glob(pattern)]
    number = 1
    while any((folder / f"run_{number}" / name).exists() for name in names):
        number += 1
    target = folder / f"run_{number}"
    if names and (names != ["run.json"] or target.exists()):
        target.mkdir(exist_ok=True)
        for name in names:
            os.rename(folder / name, target / name)
        print(f"moved the files of an earlier run to the subfolder {target.name}", flush=True)


def record_losses(losses, bar, d_loss, g_loss):
    """Append the losses of a step and show them; FloatingPointError if either is not finite."""
    losses.append((float(d_loss), float(g_loss)))
    bar.set_postfix_str("d_loss {:.3f}, g_loss {:.3f}".format(*losses[-1]), refresh=False)
    if not np.isfinite(sum(losses[-1])):
        where = f"{bar.desc.lower()}, step {len(losses)}: d_loss {d_loss}, g_loss {g_loss}"
        raise FloatingPointError(f"{where}; try another seed or a lower learning rate")


def save_epoch(run, history, generator, losses, start):
    """Add an epoch to the history, save all results, the checkpoint last, and print the losses."""
    folder, arguments = run["folder"], run["about"]["arguments"]
    history["sheets"].append(np.asarray(generate_sheet(generator, 0, (3.1, 3.1))))
    history["losses"].append(np.float32(losses))  # (steps, 2)
    seconds = [*history["seconds"], time.perf_counter() - start]
    epoch, means = len(history["losses"]), np.mean(history["losses"], axis=1)  # (epochs, 2)
    rows = np.column_stack([range(1, epoch + 1), means, seconds])
    with atomic_write(folder / "gan_loss.csv") as part:
        header = "epoch,d_loss,g_loss,seconds"
        np.savetxt(part, rows, "%d,%.6f,%.6f,%.2f", header=header, comments="")
    with atomic_write(folder / "generator.keras") as part:
        # A fresh model has no optimizer: ours knows the discriminator's weights as well.
        Model(generator.inputs, generator.outputs, name="generator").save(part)
    if epoch == 1 or epoch % arguments["sample_every"] == 0:
        plot_history(folder, history)
    name, keys, *others = np.random.get_state()
    about = json.dumps(run["about"] | {"random_state": [name, keys.tolist(), *others]})
    values = {f"variable_{i}": variable.numpy() for i, variable in enumerate(run["variables"])}
    with atomic_write(folder / "checkpoint.npz") as part:
        np.savez(part, about=about, **(history | {"seconds": seconds}), **values)
    history["seconds"] = seconds  # only now, since it tells how many epochs are saved
    means = "d_loss {:.3f}, g_loss {:.3f}, {:.1f} s".format(*rows[-1, 1:])
    print(f"epoch {epoch}/{arguments['epochs']}: {means}", flush=True)


def load_checkpoint(run, history):
    """Restore history, variables and random state; ValueError if they do not fit the run."""
    path = run["folder"] / "checkpoint.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            saved = dict(file)
        about = json.loads(str(saved.pop("about")))
        then, now = about["arguments"] | about, run["about"]["arguments"] | run["about"]
        names = ("batch_size", "limit", "seed", "generator", "discriminator")
        differences = [f"{n} was {then[n]}, now {now[n]}" for n in names if then[n] != now[n]]
        if then["limit"] == now["limit"] and then["sha256"] != now["sha256"]:
            differences.append(f"data was {then['data']}, now {now['data']} with other images")
            if then["data"] == "drawn":
                differences.append("for drawn digits: --data drawn (in Python, data='drawn')")
        if differences:
            raise InputError("; ".join(differences))
        past = {name: list(saved.pop(name)) for name in history}
        for variable, value in zip(run["variables"], saved.values(), strict=True):
            variable.assign(value)
        np.random.set_state(about["random_state"])
    except Exception as error:  # a damaged or foreign file can fail anywhere
        raise InputError(f"{path} does not fit this run or its code: {error}") from error
    history.update(past)


def validate(epochs, batch_size, data, limit, seed, output_dir, sample_every, resume):
    """Return the arguments of `train` in plain types; ValueError for an invalid number."""
    numbers = {"epochs": epochs, "batch_size": batch_size, "limit": limit, "seed": seed}
    numbers["sample_every"] = sample_every
    for name, value in numbers.items():
        lowest = 0 if name == "seed" else 1
        whole = isinstance(value, (int, np.integer)) and lowest <= value < 2**32
        if not whole and (name, value) != ("limit", None):
            wanted = f"a whole number from {lowest} to 2**32-1"
            raise InputError(f"{name} must be {wanted}, not {value!r}")
        numbers[name] = int(value) if whole else None
    return {**numbers, "data": str(data), "output_dir": str(output_dir), "resume": bool(resume)}


def generate(output_dir, seed):
    """Save a sheet of 100 new digits, drawn by the generator in `output_dir`."""
    path = Path(output_dir, "generator.keras")
    try:
        sheet = generate_sheet(keras.models.load_model(path, compile=False), seed, (10, 10))
    except Exception as error:  # a damaged or foreign file can fail anywhere in Keras
        raise InputError(f"{path}: no usable generator, train first ({error})") from error
    with atomic_write(path.with_name(f"gan_generated_image_seed_{seed}.png")) as part:
        sheet.save(part)
    print(f"saved gan_generated_image_seed_{seed}.png in the output folder")


def main():
    """Run the command line and return its exit code."""
    formatter = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser("mnist_gan.py", formatter_class=formatter)
    parser.description = "Train a GAN that learns to write digits, or let a trained one write."
    add = parser.add_argument
    add("--epochs", type=int, default=40, help="rounds of training, in total")
    add("--batch-size", type=int, default=128, help="real images per step")
    add("--data", default="auto", help="auto, mnist, drawn, or the path of an .npz file")
    add("--limit", type=int, help="train on the first LIMIT images only")
    add("--seed", type=int, default=10, help="another seed gives another run and other digits")
    add("--sample-every", type=int, default=20, help="epochs between two pictures")
    add("--output-dir", default="outputs", help="folder for all results")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    mode.add_argument("--generate", action="store_true", help="draw new digits, train nothing")
    arguments = vars(parser.parse_args())
    warnings.formatwarning = lambda message, *_, **__: f"mnist_gan.py: warning: {message}\n"
    try:
        if arguments.pop("generate"):
            validate(**arguments)
            generate(arguments["output_dir"], arguments["seed"])
        else:
            train(**arguments)
        return 0
    except KeyboardInterrupt as interruption:
        print(f"mnist_gan.py: {str(interruption) or 'interrupted'}", file=sys.stderr)
        return 130
    except (InputError, OSError, FloatingPointError) as error:
        print(f"mnist_gan.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, (InputError, FileNotFoundError)) else 1


if __name__ == "__main__":
    sys.exit(main())
