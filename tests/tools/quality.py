"""How good is a saved generator? Figures of its samples, beside those of MNIST's test images.

    python tests/tools/quality.py outputs/run_1/generator.keras
    python tests/tools/quality.py first.keras samples.npy --csv quality.csv

A file that ends in .npy holds samples, (n, 784) in [-1, 1], of another program's generator.

A GAN's losses say nothing about its images, and the eye tires of sheets. So a small convolutional
network learns to read digits (once, in a minute or two; then it is kept in the temporary folder)
and reads 10,000 samples of each generator:

    Fréchet distance   between samples and test images, each taken as a Gaussian in the 64 features
                       that the classifier decides by: FID with this network in Inception's place.
                       0 is best. It notices odd strokes and missing variety alike.
    classifier score   the inception score's formula, exp(mean KL(p(y|x) || p(y))), from 1 to 10.
                       High where each image is a clear digit and all are equally frequent.
    confident          share of the images that are read with a probability above 0.9
    shares of digits   as read; they show a digit that the generator forgot or prefers

The last row is the floor: the test images themselves. Their Fréchet distance is that to as many
random training images; a perfect generator could hardly come closer. The limits of these figures:

  - The classifier knows only digits and has to choose one. It reads with confidence much that no
    person would, often even pure noise: "confident" flatters, and the shares count scribbles.
  - Fréchet distances can be compared only under one classifier, known by its mark above the table,
    never with an FID from elsewhere. They see only means and covariances, and grow as samples get
    fewer; the floor uses as many training images as there are test images.
  - The classifier was trained on the training images, which moves the floor a little.
  - The classifier score knows nothing of variety within a digit: ten images, one of each digit and
    repeated for ever, can get the best score.
  - None of the figures notices copies of training images.
"""

import argparse
import csv
import hashlib
import inspect
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import mnist_gan  # before Keras: it keeps TensorFlow quiet

# isort: split
import keras
import numpy as np
import tensorflow as tf
from keras.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D


def train_classifier(x_train, y_train):
    """Return a network that reads digits: images (n, 28, 28, 1) -> probabilities (n, 10).

    The whole recipe is in this function; its source is part of the name of the file that keeps it.
    """
    keras.utils.set_random_seed(0)
    classifier = keras.Sequential(name="classifier")
    classifier.add(Input(shape=(28, 28, 1)))
    classifier.add(Conv2D(16, 3, activation="relu"))
    classifier.add(MaxPooling2D())
    classifier.add(Conv2D(32, 3, activation="relu"))
    classifier.add(MaxPooling2D())
    classifier.add(Flatten())
    classifier.add(Dropout(0.3))
    classifier.add(Dense(64, activation="relu", name="features"))
    classifier.add(Dense(10, activation="softmax"))
    classifier.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
    classifier.fit(x_train, y_train, batch_size=128, epochs=8, verbose=0)
    return classifier


def get_classifier(x_train, y_train):
    """Return the trained classifier with two outputs, features (n, 64) and probabilities."""
    recipe = f"{keras.__version__} {tf.__version__}{inspect.getsource(train_classifier)}".encode()
    key = hashlib.sha256(recipe + x_train.tobytes() + y_train.tobytes()).hexdigest()[:16]
    path = Path(tempfile.gettempdir(), f"mnist_gan_classifier_{key}.keras")
    if not path.exists():
        print("training the classifier, a minute or two", file=sys.stderr)
        part = path.with_stem(f"{path.stem}_{os.getpid()}")  # so `path` is never half-written
        train_classifier(x_train, y_train).save(part)
        os.replace(part, path)
    classifier = keras.models.load_model(path, compile=False)
    outputs = [classifier.get_layer("features").output, *classifier.outputs]
    return keras.Model(classifier.inputs, outputs)


def read(classifier, images):
    """Return features (n, 64) and probabilities (n, 10), float64, of images in [-1, 1]."""
    outputs = classifier.predict(images.reshape(-1, 28, 28, 1), batch_size=500, verbose=0)
    return [output.astype(np.float64) for output in outputs]


def frechet_distance(a, b):
    """Return the squared Fréchet distance of the Gaussians fitted to features (n, d) and (m, d).

    |mean_a - mean_b|^2 + trace(A + B - 2 (A B)^(1/2)) with the covariances A and B. A B has the
    eigenvalues of A^(1/2) B A^(1/2), which is symmetric.
    """
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    root_a = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    values = np.linalg.eigvalsh(root_a @ cov_b @ root_a).clip(min=0)  # rounding can go below 0
    between_means = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    distance = between_means + np.trace(cov_a) + np.trace(cov_b) - 2 * np.sum(np.sqrt(values))
    return max(distance, 0.0)


def describe(probabilities):
    """Return score, share read with confidence and the shares of the ten digits from (n, 10)."""
    logs = np.log(probabilities.clip(min=1e-30))  # 0 log 0 is to be 0
    overall = np.log(probabilities.mean(axis=0).clip(min=1e-30))
    score = np.exp(np.mean(np.sum(probabilities * (logs - overall), axis=1)))
    confident = np.mean(probabilities.max(axis=1) > 0.9)
    digits = np.bincount(probabilities.argmax(axis=1), minlength=10) / len(probabilities)
    return [score, confident, *digits]


def draw_samples(path, count, seed):
    """Return images (count, 784) from a generator or samples file; ValueError if it is neither."""
    noise = np.random.RandomState(seed).normal(0, 1, size=[count, mnist_gan.random_dim])
    try:
        if path.suffix == ".npy":
            images = np.load(path, allow_pickle=False)[:count]
            if images.shape != (count, 784) or not np.abs(images).max() <= 1 + 1e-6:  # rounding
                raise ValueError(f"it does not hold {count} samples of 784 pixels from -1 to 1")
            return images
        generator = keras.models.load_model(path, compile=False)
        if (generator.input_shape, generator.output_shape) != ((None, 100), (None, 784)):
            raise ValueError("it does not turn noise (n, 100) into images (n, 784)")
        generator.run_eagerly = True  # or TensorFlow warns of compiling one network after another
        images = generator.predict(noise, batch_size=500, verbose=0)
        if not np.abs(images).max() <= 1:  # NaN fails, too
            raise ValueError("its pixels are not all from -1 to 1")
    except Exception as error:  # a foreign file can fail anywhere in Keras
        raise ValueError(f"{path} is neither a generator nor a file of samples: {error}") from error
    return images


def measure(paths, data, count, seed):
    """Return {name: figures} of all generators and the test images, and what judged them."""
    if count < 2:
        raise ValueError(f"--samples {count}: a covariance needs two or more")
    samples = {path: draw_samples(path, count, seed) for path in paths}
    x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data(data)
    labels = np.concatenate([y_train, y_test])
    if min(len(y_train), len(y_test)) < 2 or not np.isin(labels, range(10)).all():
        raise ValueError(f"--data {data}: needs two images or more, with labels 0 to 9")
    x_train = x_train.reshape(-1, 28, 28, 1)
    x_test = (x_test.astype(np.float32) - 127.5) / 127.5

    classifier = get_classifier(x_train, y_train)
    mark = hashlib.sha256(b"".join(w.tobytes() for w in classifier.get_weights())).hexdigest()[:8]
    real, probabilities = read(classifier, x_test)
    accuracy = np.mean(probabilities.argmax(axis=1) == y_test)
    if accuracy < 0.985:
        raise ValueError(f"--data {data}: the classifier is too weak, test accuracy {accuracy:.2%}")

    read_as = {path: read(classifier, images) for path, images in samples.items()}
    chosen = np.random.RandomState(seed).permutation(len(x_train))[: len(x_test)]
    read_as["test images"] = read(classifier, x_train[chosen])[0], probabilities
    rows = {name: [frechet_distance(f, real), *describe(p)] for name, (f, p) in read_as.items()}
    return rows, f"classifier {mark}, test accuracy {accuracy:.2%}"


def print_tables(rows):
    """Print {name: figures} as two Markdown tables, and what the last row is."""
    print("| images | Fréchet distance | classifier score | confident |\n|:--|--:|--:|--:|")
    for name, (frechet, score, confident, *_) in rows.items():
        print(f"| {name} | {frechet:.2f} | {score:.2f} | {confident:.1%} |")
    print("\nFréchet distances are to the test images; theirs is to as many training images.")
    print(f"\n| % read as | {' | '.join('0123456789')} |\n|:--|{'--:|' * 10}")
    for name, (_, _, _, *digits) in rows.items():
        print(f"| {name} | {' | '.join(f'{share:.1%}'[:-1] for share in digits)} |")


def main():
    # Without the usage an error takes one line.
    parser = argparse.ArgumentParser("quality.py", usage=argparse.SUPPRESS)
    parser.description = "Measure saved generators of mnist_gan.py; the file's docstring says how."
    add = parser.add_argument
    add("generators", nargs="+", type=Path, metavar="FILE", help="generator.keras, or .npy")
    add("--data", default="mnist", help="as for mnist_gan.py, but the default is mnist")
    add("--samples", type=int, default=10_000, metavar="N", help="of each generator")
    add("--seed", type=int, default=10, help="of the noise and the training images")
    add("--csv", type=Path, metavar="FILE", help="save the figures as CSV, too; shares from 0 to 1")
    options = parser.parse_args()
    try:
        rows, judge = measure(options.generators, options.data, options.samples, options.seed)
        print(f"Keras {keras.__version__}, TensorFlow {tf.__version__}; {judge}; ", end="")
        print(f"{options.samples:,} samples of each generator, seed {options.seed}\n")
        print_tables(rows)
        if options.csv:
            lines = [["file", "frechet", "score", "confident", *(f"digit_{i}" for i in range(10))]]
            lines += [[name, *figures] for name, figures in rows.items()]
            with open(options.csv, "w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(lines)
    except (ValueError, OSError, OverflowError, MemoryError) as error:
        parser.error(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
