"""A GAN that learns to write digits: the 2018 Keras MNIST tutorial on current Keras and TensorFlow.

Two multilayer perceptrons play against each other. The generator turns 100 random numbers into an
image of 28 x 28 pixels; the discriminator says how likely an image is to be a real digit. Each
learns from the other's mistakes.

    python mnist_gan.py                   40 epochs on MNIST (digits drawn from fonts if offline)
    python mnist_gan.py --epochs 400      as long as the tutorial trained
    python mnist_gan.py --resume          go on after an interruption
    python mnist_gan.py --generate        a new sheet of digits from the trained generator

An epoch of MNIST is 468 steps and took 11 seconds on two server CPU cores. Blobs turn into strokes
within 5 epochs and most of them into digits by 20 to 40; README.md shows what to expect. Everything
a run makes goes to `outputs/`.

The GAN comes first, in the tutorial's order. Below the line "The workshop" stands what serves it.
"""

import argparse
import contextlib
import hashlib
import io
import json
import math
import os
import platform
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from array import array
from datetime import datetime
from numbers import Integral
from pathlib import Path

stderr = os.dup(2)


def leave(*_):
    """Exit at once: while TensorFlow loads there is nothing yet to put in order."""
    os.write(stderr, b"mnist_gan.py: interrupted before anything began\n")
    os._exit(130)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, leave)

# Both are read once, when Keras and TensorFlow are imported.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# TensorFlow 2.21 greets on standard error whatever its log level; look away while it loads.
with open(os.devnull, "w") as nowhere:
    os.dup2(nowhere.fileno(), 2)
    try:
        import keras
        import tensorflow as tf
    finally:
        os.dup2(stderr, 2)
tf.get_logger().setLevel("ERROR")  # or it grumbles from the fifth training in a notebook on

import matplotlib
import numpy as np
from keras.datasets import mnist
from keras.initializers import RandomNormal
from keras.layers import Dense, Input, LeakyReLU
from keras.models import Model, Sequential
from keras.optimizers import Adam
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFilter, ImageFont  # Pillow comes with matplotlib
from tqdm import tqdm

random_dim = 100  # numbers in a noise vector: the tutorial's choice, customary for GANs
PICTURE_SEED = 0  # of the noise behind every picture, so that one sees the same digits grow


# ---------------------------------------------------------------------------------------------
# The data
# ---------------------------------------------------------------------------------------------


def load_mnist_data(data="auto"):
    """Load handwritten digits, the training images scaled to the range of the generator's tanh.

    data: "auto"   Keras's MNIST, cached or downloaded; where that fails, drawn digits and a warning
          "mnist"  Keras's MNIST or an OSError
          "drawn"  60,000 + 10,000 digits drawn from matplotlib's fonts, no network needed
          a path   an .npz file in the layout of Keras's: x_train, y_train, x_test, y_test

    Returns (x_train, y_train, x_test, y_test):
        x_train  float32 (n, 784) in [-1, 1], -1 for paper and 1 for ink
        y_train  uint8 (n,) labels 0 to 9
        x_test   uint8 (m, 28, 28) in [0, 255], as Keras returns it
        y_test   uint8 (m,)
    Raises FileNotFoundError, ValueError or OSError for a file that is missing or not such a file.
    Source: MNIST, Y. LeCun, C. Cortes and C. Burges, 1998, through keras.datasets.
    """
    if data == "drawn":
        (x_train, y_train), (x_test, y_test) = draw_digits()
    elif data in ("auto", "mnist"):
        (x_train, y_train), (x_test, y_test) = fetch_mnist(or_draw=data == "auto")
    else:
        (x_train, y_train), (x_test, y_test) = read_npz(data)

    x_train = (x_train.astype(np.float32) - 127.5) / 127.5
    x_train = x_train.reshape(len(x_train), 784)  # (n, 28, 28) -> (n, 784)
    return x_train, y_train, x_test, y_test


# ---------------------------------------------------------------------------------------------
# The networks
# ---------------------------------------------------------------------------------------------


def get_optimizer():
    """Return the Adam optimizer that all three networks share.

    Learning rate and beta_1 are those of Radford et al., "Unsupervised Representation Learning with
    Deep Convolutional GANs", 2015. Sharing one instance is part of what the tutorial computes:
    Adam's step counter then advances twice a step, for the discriminator and for the generator.
    """
    return Adam(learning_rate=0.0002, beta_1=0.5)


def get_generator(optimizer):
    """Return the generator: noise (batch, 100) -> images (batch, 784) in [-1, 1].

    1,486,352 parameters; compiled with binary cross-entropy and `optimizer`.
    """
    generator = Sequential(name="generator")
    generator.add(Input(shape=(random_dim,)))

    generator.add(Dense(256, kernel_initializer=RandomNormal(stddev=0.02)))
    generator.add(LeakyReLU(negative_slope=0.2))

    generator.add(Dense(512))
    generator.add(LeakyReLU(negative_slope=0.2))

    generator.add(Dense(1024))
    generator.add(LeakyReLU(negative_slope=0.2))

    generator.add(Dense(784, activation="tanh"))
    generator.compile(loss="binary_crossentropy", optimizer=optimizer)
    return generator


def get_discriminator(optimizer):
    """Return the discriminator: images (batch, 784) -> probability (batch, 1) that each is real.

    1,460,225 parameters; compiled with binary cross-entropy and `optimizer`. Dropout keeps it from
    learning the training images by heart; it is active in training only. The class is Keras's with
    other random bits, see the workshop.
    """
    discriminator = Sequential(name="discriminator")
    discriminator.add(Input(shape=(784,)))

    discriminator.add(Dense(1024, kernel_initializer=RandomNormal(stddev=0.02)))
    discriminator.add(LeakyReLU(negative_slope=0.2))
    discriminator.add(Dropout(0.3))

    discriminator.add(Dense(512))
    discriminator.add(LeakyReLU(negative_slope=0.2))
    discriminator.add(Dropout(0.3))

    discriminator.add(Dense(256))
    discriminator.add(LeakyReLU(negative_slope=0.2))
    discriminator.add(Dropout(0.3))

    discriminator.add(Dense(1, activation="sigmoid"))
    discriminator.compile(loss="binary_crossentropy", optimizer=optimizer)
    return discriminator


def get_gan_network(discriminator, random_dim, generator, optimizer):
    """Return both networks in a row: noise (batch, random_dim) -> probability (batch, 1).

    The discriminator is left frozen (`trainable = False`), so that training this network changes
    the generator only. Compiled with binary cross-entropy and `optimizer`.
    """
    # Keras 3 ties an optimizer to the weights it first sees; it is to serve both networks.
    optimizer.build(generator.trainable_variables + discriminator.trainable_variables)

    discriminator.trainable = False
    gan_input = Input(shape=(random_dim,))
    x = generator(gan_input)  # (batch, 784)
    gan_output = discriminator(x)  # (batch, 1)
    gan = Model(inputs=gan_input, outputs=gan_output)
    gan.compile(loss="binary_crossentropy", optimizer=optimizer)
    return gan


# ---------------------------------------------------------------------------------------------
# The pictures
# ---------------------------------------------------------------------------------------------


def plot_generated_images(
    epoch, generator, examples=100, dim=(10, 10), figsize=(10, 10), output_dir="outputs"
):
    """Save a sheet of generated digits as `gan_generated_image_epoch_<epoch>.png`.

    examples: how many digits; dim: rows and columns; figsize: inches, at 100 pixels each.
    Every call with the same `examples` uses the same noise, from a random generator of its own.
    Raises OSError where the file cannot be written, ValueError where `dim` has too few places.
    """
    generated_images = generator.predict_on_batch(picture_noise(examples))  # (examples, 784)
    path = Path(output_dir, f"gan_generated_image_epoch_{epoch}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_sheet(path, generated_images, dim, figsize)


# ---------------------------------------------------------------------------------------------
# The training
# ---------------------------------------------------------------------------------------------


def get_train_step(generator, discriminator, gan, batch_size):
    """Return the function that trains both networks once, compiled for speed.

    It computes what the tutorial's `generator.predict`, `discriminator.train_on_batch` and
    `gan.train_on_batch` compute, as one TensorFlow graph: several times faster on a CPU.

    The returned function takes noise (batch_size, 100), real images (batch_size, 784) and fresh
    noise (batch_size, 100), and returns the losses of discriminator and generator, two scalars.
    """
    # One-sided label smoothing: 0.9 for real images keeps the discriminator from growing too sure.
    y_dis = np.zeros(2 * batch_size)
    y_dis[:batch_size] = 0.9
    y_gen = np.ones(batch_size)

    # TensorFlow runs these lines once, to record the operations; `trainable` is read at that time.
    def train_step(noise, image_batch, fresh_noise):
        # The discriminator learns to tell the real images from the generator's fakes.
        generated_images = generator(noise, training=False)
        x = tf.concat([image_batch, generated_images], axis=0)  # (2 * batch_size, 784)
        discriminator.trainable = True
        d_loss = train_on_batch(discriminator, x, y_dis)

        # The generator learns to make fakes that the discriminator, frozen, takes for real.
        discriminator.trainable = False
        g_loss = train_on_batch(gan, fresh_noise, y_gen)
        return d_loss, g_loss

    shapes = [(batch_size, random_dim), (batch_size, 784), (batch_size, random_dim)]
    signature = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return tf.function(train_step, input_signature=signature, jit_compile=xla_works())


def train_on_batch(network, x, y):
    """Update a network's trainable weights as Keras's method of this name does; return the loss."""
    with tf.GradientTape() as tape:
        loss = network.compute_loss(x=x, y=y, y_pred=network(x, training=True))
    weights = network.trainable_variables
    network.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
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
    """Train the GAN and leave pictures, curves, the generator and a checkpoint in `output_dir`.

    epochs        rounds of n // batch_size steps, in total: a resumed run counts those done before
    batch_size    real images a step, drawn at random: an epoch shows some twice, others not at all
    data          as for `load_mnist_data`
    limit         train on the first `limit` images only (None: all)
    seed          0 to 2**32 - 1, for weights, noise, batches and dropout
    sample_every  save a picture after the first and every `sample_every`-th epoch
    resume        go on from the checkpoint in `output_dir`, exactly as if never stopped

    Returns {"d_loss": (steps,), "g_loss": (steps,)}, float32 arrays with one value a step.
    Raises ValueError for arguments, data or a checkpoint that do not fit and for a loss that is
    not finite, FileNotFoundError for a missing file, OSError where files cannot be written.
    """
    settings = check_settings(**locals())
    x_train, y_train, x_test, y_test = load_mnist_data(data)
    run = Run(settings, x_train)  # checks, shows, saves and resumes: see the workshop
    x_train = x_train[:limit]
    batch_count = x_train.shape[0] // batch_size

    keras.utils.set_random_seed(seed)
    adam = get_optimizer()
    generator = get_generator(adam)
    discriminator = get_discriminator(adam)
    gan = get_gan_network(discriminator, random_dim, generator, adam)
    train_step = get_train_step(generator, discriminator, gan, batch_size)

    run.open(generator, discriminator, gan)
    for e in range(run.epoch + 1, epochs + 1):
        with progress_bar(e, epochs, batch_count) as bar:
            for _ in bar:
                noise = np.random.normal(0, 1, size=[batch_size, random_dim])
                image_batch = x_train[np.random.randint(0, x_train.shape[0], size=batch_size)]
                fresh_noise = np.random.normal(0, 1, size=[batch_size, random_dim])
                d_loss, g_loss = train_step(noise, image_batch, fresh_noise)
                run.record(bar, d_loss, g_loss)

        if e == 1 or e % sample_every == 0:
            plot_generated_images(e, generator, output_dir=output_dir)
        run.save()
    return run.history()


# =============================================================================================
# The workshop: what serves the GAN. A reader who came for the GAN can stop here.
# =============================================================================================


# ---------------------------------------------------------------------------------------------
# Workshop: the fast step
# ---------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable()  # so that a generator with Dropout can be opened again
class Dropout(keras.layers.Dropout):
    """Keras's Dropout with random bits that XLA draws quickly on a CPU.

    Keras's own takes longer there than the whole rest of the step. Two 16-bit numbers are cut from
    each 32-bit word, since drawing is what costs; so a rate is met to within 1 / 65,536.
    """

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        width = inputs.shape[-1]
        shape = tf.concat([tf.shape(inputs)[:-1], [(width + 1) // 2]], axis=0)
        words = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg="philox")
        halves = tf.concat([words // 2**16, words % 2**16], axis=-1)[..., :width]
        keep = halves >= round(self.rate * 2**16)
        return tf.where(keep, inputs / (1 - self.rate), 0.0)


def xla_works():
    """Tell whether this TensorFlow has the XLA compiler: on some platforms it is built without."""
    try:
        tf.function(tf.tanh, jit_compile=True)(tf.zeros(1))
    except Exception:  # the kind differs by platform, and the step runs without XLA as well
        return False
    return True


# ---------------------------------------------------------------------------------------------
# Workshop: reading, fetching and drawing data
# ---------------------------------------------------------------------------------------------

# Of load_mnist_data("mnist")[0].tobytes(); tells in run.json what "auto" came to.
MNIST_SHA256 = "e139cb22da69d1dfef4d6e69c68b9d0804f3fc06325b09ed255f7ddc99d8f0f2"

# The digits of these differ in weight, slant and serif; matplotlib ships them all.
FONTS = [
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
]


def fetch_mnist(or_draw):
    """Return MNIST from Keras's cache or its download, else drawn digits or an OSError."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)  # Keras sets none: a network that swallows packets would hang
    try:
        return mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception where the download fails
        reason = f"MNIST is not in Keras's cache and could not be downloaded: {one_line(error)}"
        remedy = "connect once, or name a copy of mnist.npz with --data PATH"
        if not or_draw:
            raise OSError(f"{reason}; {remedy}") from error
        with warnings.catch_warnings():
            warnings.simplefilter("always")  # in a notebook too, where Python would warn only once
            warnings.warn(f"{reason}; using drawn digits. For MNIST, {remedy}", stacklevel=3)
        return draw_digits()
    finally:
        socket.setdefaulttimeout(timeout)


def read_npz(path):
    """Return ((x_train, y_train), (x_test, y_test)) from a file in Keras's layout, checked."""
    if not Path(path).exists():
        raise FileNotFoundError(f"data {str(path)!r}: no such file, and not auto, mnist or drawn")
    if Path(path).is_dir():
        raise ValueError(f"data {str(path)!r} is a folder, not an .npz file like Keras's")
    open(path, "rb").close()  # raises what is_zipfile hides, such as PermissionError
    if not zipfile.is_zipfile(path):
        raise ValueError(f"data {str(path)!r} is not a whole .npz file like Keras's")
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in ("x_train", "y_train", "x_test", "y_test"):
                arrays[name] = archive[name]
    except KeyError as error:
        raise ValueError(f"data {str(path)!r}: no array {name!r} in it") from error
    except Exception as error:  # a damaged file can fail in any of zipfile, zlib and NumPy
        message = f"data {str(path)!r} is not a whole .npz file of plain arrays: {one_line(error)}"
        raise ValueError(message) from error

    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim != 3 or x.shape[1:] != (28, 28) or x.dtype != np.uint8 or len(x) == 0:
            found = f"{x.dtype} {x.shape}"
            raise ValueError(f"data {str(path)!r}: x_{part} must be uint8 (n, 28, 28), not {found}")
        if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer):
            found = f"{y.dtype} {y.shape}"
            raise ValueError(
                f"data {str(path)!r}: y_{part} must be integers ({len(x)},), not {found}"
            )
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


def draw_digits(train=60_000, test=10_000):
    """Return stand-ins for MNIST in its shapes and dtypes: printed digits, warped like handwriting.

    Each takes a font and a random size, rotation, slant, stretch and place. As in MNIST, a digit is
    about 20 pixels high and its centre of mass lies in the middle of 28 x 28, or nearly so.
    """
    random = np.random.RandomState(0)  # of its own: the same digits in every run
    count = train + test
    labels = random.randint(0, 10, count).astype(np.uint8)
    fonts = random.randint(0, len(FONTS), count)
    angles = np.radians(random.normal(0, 7, count))
    slants = random.normal(0, 0.12, count)
    heights = random.uniform(18, 21, count)  # pixels, of 28
    stretches = random.uniform(0.8, 1.15, count)
    shifts = random.normal(0, 0.6, (count, 2))  # pixels

    glyphs = [[draw_glyph(font, digit) for digit in "0123456789"] for font in FONTS]

    images = np.empty((count, 28, 28), np.uint8)
    for i in range(count):
        glyph, height, centre = glyphs[fonts[i]][labels[i]]
        # PIL asks where in the glyph each pixel of the image comes from.
        scale = height / heights[i]
        cos, sin = scale * math.cos(angles[i]), scale * math.sin(angles[i])
        a, b = cos / stretches[i], sin + cos * slants[i]
        c, d = -sin / stretches[i], cos - sin * slants[i]
        x, y = 14 + shifts[i]
        matrix = (a, b, centre[0] - a * x - b * y, c, d, centre[1] - c * x - d * y)
        images[i] = glyph.transform((28, 28), Image.AFFINE, matrix, Image.BILINEAR)
    # A copy, since a view of the test images would keep all images in memory.
    return (images[:train], labels[:train]), (images[train:].copy(), labels[train:])


def draw_glyph(font, digit):
    """Return a digit as a grey image, its height in pixels and its centre of mass (x, y)."""
    glyph = Image.new("L", (128, 128))
    draw = ImageDraw.Draw(glyph)
    draw.text((64, 64), digit, fill=255, font=load_font(font, 64), anchor="mm")
    _, top, _, bottom = glyph.getbbox()
    glyph = glyph.filter(ImageFilter.GaussianBlur(1))  # it will be shrunk to less than half
    ink = np.asarray(glyph, dtype=float)
    y, x = np.indices(ink.shape) + 0.5
    return glyph, bottom - top, ((x * ink).sum() / ink.sum(), (y * ink).sum() / ink.sum())


def load_font(name, size):
    """Return one of matplotlib's fonts; size in pixels."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"), size)


# ---------------------------------------------------------------------------------------------
# Workshop: pictures
# ---------------------------------------------------------------------------------------------


def picture_noise(examples, seed=PICTURE_SEED):
    """Return noise (examples, 100) for pictures, drawing nothing from NumPy's global generator."""
    return np.random.RandomState(seed).normal(0, 1, size=[examples, random_dim])


def save_sheet(path, images, dim=(10, 10), figsize=(10, 10)):
    """Save images (n, 784) in [-1, 1] as a sheet of `dim` rows and columns, dark on white."""
    rows, columns = dim
    sheet = np.full((rows, columns, 31, 31), -1.0)  # digits of 28 x 28 and white between them
    sheet.reshape(-1, 31, 31)[: len(images), 1:29, 1:29] = images.reshape(-1, 28, 28)
    figure = Figure(figsize=figsize)  # not pyplot's, so no display is needed
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(tile(sheet), interpolation="nearest", cmap="gray_r", vmin=-1, vmax=1)
    axes.axis("off")
    save_figure(path, figure)


def save_figure(path, figure):
    """Save a figure at 100 pixels an inch and let go of its memory."""
    with replacing(path) as part:
        figure.savefig(part, dpi=100)
    figure.clear()


def tile(images):
    """Return images (rows, columns, height, width) side by side as a single one."""
    rows, columns, height, width = images.shape
    return images.swapaxes(1, 2).reshape(rows * height, columns * width)


def save_curves(path, d_loss, g_loss):
    """Save the two losses, one value an epoch, as a picture."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    epochs = range(1, len(d_loss) + 1)
    marker = "o" if len(d_loss) < 30 else None
    axes.plot(epochs, d_loss, marker=marker, label="discriminator")
    axes.plot(epochs, g_loss, marker=marker, label="generator")
    # A discriminator that answers 1/2 to every image loses ln 2, whatever the labels.
    axes.axhline(math.log(2), color="grey", linestyle="--", label="discriminator at chance (ln 2)")
    axes.set(xlabel="epoch", ylabel="binary cross-entropy, mean of the epoch", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(path, figure)


def draw_frame(images, epoch):
    """Return a frame of the GIF, PNG bytes: 100 images (100, 784) above a line with the epoch."""
    grid = tile(images.reshape(10, 10, 28, 28))
    frame = Image.new("L", (280, 300), 255)
    frame.paste(Image.fromarray(np.uint8(np.round((1 - grid) * 127.5))))
    draw = ImageDraw.Draw(frame)
    draw.text((140, 290), f"epoch {epoch}", fill=0, font=load_font("DejaVuSans", 14), anchor="mm")
    frame = frame.point(lambda grey: round(round(grey / 255 * 7) / 7 * 255))  # 8 greys: a small GIF
    buffer = io.BytesIO()
    frame.save(buffer, "PNG")
    return buffer.getvalue()


def save_gif(path, frames):
    """Save PNG frames as an endless GIF, ten a second, that rests on the last one."""
    first, *others = [Image.open(io.BytesIO(frame)) for frame in frames]
    durations = [100] * len(others) + [2000]  # milliseconds
    with replacing(path) as part:
        first.save(part, save_all=True, append_images=others, duration=durations, loop=0)


@contextlib.contextmanager
def progress_bar(epoch, epochs, batch_count):
    """Give tqdm's bar over the steps of an epoch; into a log file it writes every 30 s only.

    From the second step on, TensorFlow computes a step while Python draws the numbers for the next;
    the first, in which most mistakes show, is waited for.
    """

    def steps():
        yield 0
        tf.config.experimental.set_synchronous_execution(False)
        yield from range(1, batch_count)

    bar = tqdm(
        steps(),
        total=batch_count,
        desc=f"Epoch {epoch}/{epochs}",
        leave=False,
        mininterval=0.1 if sys.stderr.isatty() or "ipykernel" in sys.modules else 30,
        # Without the steps a second, which would leave no room for a bar in 80 columns.
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
    )
    with bar:
        try:
            yield bar
        except BaseException:
            tf.experimental.async_clear_error()  # or all that follows would fail as well
            raise
        finally:
            tf.config.experimental.set_synchronous_execution(True)  # waits for the last step


# ---------------------------------------------------------------------------------------------
# Workshop: the files of a run, and how it goes on after a stop
# ---------------------------------------------------------------------------------------------

RUN_FILES = re.compile(
    r"(part-)?(gan_generated_image_(epoch|seed)_\d+\.png|gan_loss\.(csv|png)|gan_training\.gif"
    r"|generator\.keras|run\.json|checkpoint\.npz)"
)


class SaveError(OSError):
    """A file of a run could not be written."""


@contextlib.contextmanager
def replacing(path):
    """Give a path to write to; what is there in the end takes the place of `path` in one move.

    So `path` holds the old content or the new, never a part, wherever a run is killed.
    """
    part = path.with_name(f"part-{path.name}")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            cause = error.strerror or one_line(error)
            raise SaveError(f"{path} could not be written: {cause}") from error
        raise


class Run:
    """The files of a run and the state to continue it from: what `train` leaves to the workshop."""

    current = None  # the run that is training, for `interrupt`
    signal_number = None  # of the signal that asks this run to stop

    def __init__(self, settings, x_train):
        """Check that a run with these settings and data can start or resume; write nothing."""
        self.settings = settings
        self.folder = Path(settings["output_dir"])
        self.data_sha256 = hashlib.sha256(np.ascontiguousarray(x_train)).hexdigest()
        self.images = len(x_train[: settings["limit"]])
        if settings["batch_size"] > self.images:
            raise ValueError(
                f"batch_size {settings['batch_size']} is larger than the data: "
                f"at most {self.images}, the number of training images"
            )
        self.steps = self.images // settings["batch_size"]  # of an epoch
        self.epoch = 0  # epochs done
        self.losses = {"d_loss": array("f"), "g_loss": array("f")}  # a value a step
        self.waiting = []  # losses of the step that is under way
        self.seconds = []  # a value an epoch
        self.frames = []  # PNG bytes, one an epoch
        self.saved = self.read_checkpoint() if settings["resume"] else None

    def read_checkpoint(self):
        """Return the arrays of the checkpoint; ValueError if it is damaged or of another run."""
        path = self.folder / "checkpoint.npz"
        if not path.exists():
            raise FileNotFoundError(f"{path}: no checkpoint; start anew, or name --output-dir")
        try:
            with np.load(path, allow_pickle=False) as archive:
                saved = dict(archive)
            about = saved["about"] = json.loads(str(saved["about"]))
            then, now = about["settings"], self.settings
            differences = [
                f"{name} was {then[name]}, now {now[name]}"
                for name in ("batch_size", "limit", "seed")
                if then[name] != now[name]
            ]
            if about["data_sha256"] != self.data_sha256:
                differences.append(
                    f"data was {then['data']!r}, now {now['data']!r} with other images, see --data"
                )
            missing = {"epoch", "random_state", "seconds"} - about.keys()
            missing |= self.losses.keys() - saved.keys()
            if missing:
                raise KeyError(f"no {', '.join(sorted(missing))}")
        except Exception as error:  # a damaged file can fail in any of zipfile, zlib and NumPy
            raise ValueError(f"{path} is not a whole checkpoint: {one_line(error)}") from error

        if differences:
            raise ValueError(f"{path} is of another run: {'; '.join(differences)}")
        return saved

    def open(self, generator, discriminator, gan):
        """Restore the checkpoint, or move what an earlier run left aside; then write `run.json`."""
        self.generator = Model(generator.inputs, generator.outputs, name="generator")
        optimizers = {id(m.optimizer): m.optimizer for m in (generator, discriminator, gan)}
        self.variables = list(gan.variables)  # both networks' weights and Dropout's seeds
        for optimizer in optimizers.values():  # whose learning rate is for `get_optimizer` to say
            self.variables += [v for v in optimizer.variables if v.name != "learning_rate"]

        if self.saved:
            self.restore(**self.saved.pop("about"))
            if self.epoch >= self.settings["epochs"]:
                print(f"{self.epoch} epochs are done; to go on, ask for more with --epochs")
                return
            print(f"going on after epoch {self.epoch}")
        else:
            make_writable(self.folder)
            self.move_earlier_run()

        about = describe_run(self.settings, self.images, self.data_sha256)
        self.about = json.dumps(about, indent=2) + "\n"
        with replacing(self.folder / "run.json") as part:
            part.write_text(self.about, encoding="utf-8")
        Run.current = self
        self.started = time.perf_counter()

    def restore(self, epoch, random_state, seconds, **_):
        """Set networks, optimizer, random generator and history to what the checkpoint holds."""
        values = [value for name, value in self.saved.items() if name.startswith("variable_")]
        if [value.shape for value in values] != [tuple(v.shape) for v in self.variables]:
            raise ValueError(
                f"{self.folder / 'checkpoint.npz'} is of networks with other layers than these"
            )
        for variable, value in zip(self.variables, values):
            variable.assign(value)
        np.random.set_state(random_state)
        self.epoch, self.seconds = epoch, seconds
        for name, losses in self.losses.items():
            losses.extend(self.saved[name])
        self.frames = [self.saved[f"frame_{e}"].tobytes() for e in range(1, epoch + 1)]
        self.saved = None

    def move_earlier_run(self):
        """Move what an earlier run left, if it came to anything, into a numbered folder."""
        earlier = [path for path in self.folder.iterdir() if RUN_FILES.fullmatch(path.name)]
        if any(path.name != "run.json" for path in earlier):
            taken = [int(p.name[4:]) for p in self.folder.glob("run_*") if p.name[4:].isdigit()]
            target = self.folder / f"run_{max(taken, default=0) + 1}"
            target.mkdir()
            try:
                for path in earlier:
                    path.rename(target / path.name)
            except OSError:  # such as a file that is open, on Windows: leave the run in one piece
                for path in target.iterdir():
                    path.rename(self.folder / path.name)
                target.rmdir()
                raise
            print(f"{self.folder} held an earlier run; its files are now in {target}")

    def record(self, bar, d_loss, g_loss):
        """Note the losses of the step before, and at the end of an epoch these ones as well.

        Looking at a step's losses waits for them; those of the step before are there.
        """
        if self.signal_number:
            self.draw()
            raise KeyboardInterrupt(self.signal_number)
        self.waiting.append((d_loss, g_loss))
        last = (len(self.losses["d_loss"]) + len(self.waiting)) % self.steps == 0
        if last:
            self.check_folder()
        while len(self.waiting) > (0 if last else 1):
            self.note(bar, len(self.losses["d_loss"]) % self.steps + 1, *self.waiting.pop(0))

    def check_folder(self):
        """Raise OSError if the folder is no longer this run's, before anything goes there."""
        path = self.folder / "run.json"
        if not path.exists() or path.read_text(encoding="utf-8") != self.about:
            raise OSError(f"{path} is gone or of another run, which moves earlier files to run_N")

    def note(self, bar, step, d_loss, g_loss):
        """Note a step's losses and show them; ValueError if either is not finite."""
        d_loss, g_loss = float(d_loss), float(g_loss)
        if not (math.isfinite(d_loss) and math.isfinite(g_loss)):
            self.draw()
            raise ValueError(
                f"epoch {self.epoch + 1}, step {step}: the losses are no longer finite "
                f"(discriminator {d_loss}, generator {g_loss}); try another seed"
            )
        self.losses["d_loss"].append(d_loss)
        self.losses["g_loss"].append(g_loss)
        bar.set_postfix_str(f"d_loss {d_loss:.3f}, g_loss {g_loss:.3f}", refresh=False)

    def save(self):
        """End an epoch: bring the output files up to date, the checkpoint last, and report."""
        self.epoch += 1
        images = self.generator.predict_on_batch(picture_noise(100))
        self.frames.append(draw_frame(images, self.epoch))
        self.seconds.append(time.perf_counter() - self.started)
        self.started = time.perf_counter()
        d_loss, g_loss = self.means()

        with replacing(self.folder / "gan_loss.csv") as part:
            rows = np.column_stack([range(1, self.epoch + 1), d_loss, g_loss, self.seconds])
            header = "epoch,d_loss,g_loss,seconds"
            np.savetxt(part, rows, ["%d", "%.6f", "%.6f", "%.2f"], ",", header=header, comments="")
        with replacing(self.folder / "generator.keras") as part:
            self.generator.save(part)
        epochs, sample_every = self.settings["epochs"], self.settings["sample_every"]
        if self.epoch in (1, epochs) or self.epoch % sample_every == 0:  # it takes a while
            self.draw()
        self.write_checkpoint()

        print(
            f"epoch {self.epoch}/{epochs}: d_loss {d_loss[-1]:.3f}, g_loss {g_loss[-1]:.3f}, "
            f"{self.seconds[-1]:.1f} s",
            flush=True,
        )

    def means(self):
        """Return the mean losses of each finished epoch, one array a network."""
        done = self.epoch * self.steps
        return [
            np.reshape(losses[:done], (self.epoch, self.steps)).mean(axis=1, dtype=float)
            for losses in self.losses.values()
        ]

    def draw(self):
        """Bring curves and GIF up to date with the finished epochs, if there are any."""
        if self.epoch:
            save_curves(self.folder / "gan_loss.png", *self.means())
            save_gif(self.folder / "gan_training.gif", self.frames)

    def write_checkpoint(self):
        """Write all that an exact continuation needs, in plain arrays."""
        random_state = np.random.get_state(legacy=False)
        random_state["state"]["key"] = random_state["state"]["key"].tolist()
        about = {
            "epoch": self.epoch,
            "random_state": random_state,
            "seconds": self.seconds,
            "settings": self.settings,
            "data_sha256": self.data_sha256,
        }
        arrays = {f"variable_{i}": v.numpy() for i, v in enumerate(self.variables)}
        for e, frame in enumerate(self.frames, start=1):
            arrays[f"frame_{e}"] = np.frombuffer(frame, np.uint8)
        with replacing(self.folder / "checkpoint.npz") as part:
            np.savez(part, about=json.dumps(about), **self.losses, **arrays)

    def history(self):
        """Return the losses of all steps, those before a resume included."""
        return {name: np.array(losses, np.float32) for name, losses in self.losses.items()}


def make_writable(folder):
    """Create a folder and see that a file can be written there; OSError if not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        message = f"output_dir {str(folder)!r} is not a folder that can be written to"
        raise OSError(f"{message}: {error.strerror}") from error


def describe_run(settings, images, data_sha256):
    """Return what it takes to make the pictures of a run again, for `run.json`."""
    source = {"auto": "drawn"}.get(settings["data"], settings["data"])
    if data_sha256 == MNIST_SHA256:
        source = "MNIST"
    packages = ("keras", "tensorflow", "numpy", "matplotlib", "PIL", "tqdm")
    versions = {package: sys.modules[package].__version__ for package in packages}
    gpus = [gpu.name for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "started": datetime.now().isoformat(),  # tells this run from others in the same folder
        "arguments": settings,
        "data": {"source": source, "images": images, "sha256": data_sha256},
        "versions": {"python": platform.python_version()} | versions,
        "device": {
            "platform": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "gpus": gpus,
            "xla": xla_works(),
        },
    }


def one_line(error):
    """Return an exception's message without line breaks, or its name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


# ---------------------------------------------------------------------------------------------
# Workshop: the command line
# ---------------------------------------------------------------------------------------------


def check_settings(data, output_dir, resume, **numbers):
    """Return the arguments of `train` in plain types; ValueError for a number out of range."""
    for name, value in numbers.items():
        if name != "limit" or value is not None:
            numbers[name] = check_number(name, value, lowest=0 if name == "seed" else 1)
    return {**numbers, "data": str(data), "output_dir": str(output_dir), "resume": bool(resume)}


def check_number(name, value, lowest):
    """Return a whole number from `lowest` to what a 32-bit seed can hold, else raise ValueError."""
    if not isinstance(value, Integral) or not lowest <= value < 2**32:
        raise ValueError(f"{name} must be a whole number from {lowest} to {2**32 - 1}, not {value}")
    return int(value)


def generate(output_dir="outputs", seed=10):
    """Save a sheet of 100 new digits as `gan_generated_image_seed_<seed>.png`; return its path."""
    seed = check_number("seed", seed, lowest=0)
    path = Path(output_dir, "generator.keras")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no generator there; train first, or name --output-dir")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a whole .keras file")
    try:
        generator = keras.models.load_model(path, compile=False)
        images = generator.predict_on_batch(picture_noise(100, seed))
        if images.shape != (100, 784):
            raise ValueError(f"it makes {images.shape[1:]}, not (784,)")
    except Exception as error:  # a foreign file can fail anywhere in Keras
        raise ValueError(f"{path} is not a generator of this script: {one_line(error)}") from error
    sheet = path.with_name(f"gan_generated_image_seed_{seed}.png")
    save_sheet(sheet, images)
    return sheet


class Parser(argparse.ArgumentParser):
    """argparse's parser, with errors of one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def number(text):
    """Return an int, or the text as it is: `train` says what is wrong with it."""
    try:
        return int(text)
    except ValueError:
        return text


def parse_arguments():
    """Return the command line as a dictionary of `train`'s arguments, and `generate`."""
    formatter = argparse.ArgumentDefaultsHelpFormatter
    parser = Parser("mnist_gan.py", formatter_class=formatter, allow_abbrev=False)
    parser.description = "Train a GAN that learns to write digits, or let a trained one write."
    add = parser.add_argument
    add("--epochs", type=number, default=40, help="rounds of as many images as there are, in total")
    add("--batch-size", type=number, default=128, metavar="N", help="real images a step")
    add("--data", default="auto", help="auto, mnist, drawn, or the path of an .npz like Keras's")
    add("--limit", type=number, metavar="N", help="train on the first N images only")
    add("--seed", type=number, default=10, help="of all random numbers; another gives another run")
    add("--sample-every", type=number, default=20, metavar="N", help="epochs between two pictures")
    add("--output-dir", default="outputs", metavar="DIR", help="folder for all results")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    mode.add_argument(
        "--generate", action="store_true", help="draw new digits with the folder's generator"
    )
    return vars(parser.parse_args())


def how_to_continue():
    """Return the command that goes on with an interrupted run."""
    join = subprocess.list2cmdline if os.name == "nt" else shlex.join
    command = [part for part in sys.orig_argv if part != "--resume"]
    # A checkpoint from before this run opened the folder is of another run.
    saved = Run.current and (Run.current.folder / "checkpoint.npz").exists()
    if saved or "--resume" in sys.orig_argv:
        return f"continue with: {join([*command, '--resume'])}"
    return f"start again, since no epoch is saved yet, with: {join(command)}"


def interrupt(signal_number, frame):
    """Stop at once, or after the step if a run is training: no library is then cut short."""
    if not Run.current:
        raise KeyboardInterrupt(signal_number)
    Run.current.signal_number = signal_number


def main():
    """Run the command line; return its exit code."""
    arguments = parse_arguments()
    Run.current = None
    handlers = {n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
    warnings.formatwarning = lambda message, *_, **__: f"mnist_gan.py: warning: {message}\n"
    output_dir = arguments["output_dir"]
    generating = arguments.pop("generate")
    try:
        if generating:
            print(f"saved {generate(output_dir, arguments['seed'])}")
        else:
            train(**arguments)
            print(f"done: the results are in {output_dir}")
    except KeyboardInterrupt as interruption:
        hint = "" if generating else f"; {how_to_continue()}"
        print(f"mnist_gan.py: interrupted{hint}", file=sys.stderr)
        return 128 + interruption.args[0]
    except SaveError as error:
        hint = "" if generating else f"; mend that, then {how_to_continue()}"
        print(f"mnist_gan.py: error: {error}{hint}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"mnist_gan.py: error: {one_line(error)}", file=sys.stderr)
        return 1 if Run.current else 2
    finally:
        Run.current = None
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


if __name__ == "__main__":
    sys.exit(main())
