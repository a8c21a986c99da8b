"""How good is a saved generator? Figures of its samples, beside those of MNIST's test images.

    python tests/quality.py outputs/generator.keras
    python tests/quality.py first.keras second.keras --csv quality.csv

A GAN's losses tell nothing of its images, and an eye tires of sheets. So a small convolutional
network learns to read digits (once, in a minute or two; then it lies in the temporary folder) and
reads 10,000 samples of each generator:

    Fréchet distance   between samples and test images, each taken as a Gaussian in the 64 features
                       that the classifier decides by: FID with this network in Inception's place.
                       0 is best. It notices odd strokes and missing variety alike.
    classifier score   the inception score's formula, exp(mean KL(p(y|x) || p(y))), from 1 to 10.
                       High where each image is a clear digit and all digits are as frequent.
    confident          share of the images that are read with a probability above 0.9
    shares of digits   as read; here shows a digit that the generator forgot or prefers

The last row is the floor: the test images themselves. Their Fréchet distance is that to as many
training images, chosen at random; a perfect generator could hardly come closer.

What these figures cannot tell:

  - The classifier knows only digits and has to choose one. It reads with confidence much that no
    person would, often even pure noise: "confident" flatters, and the shares count scribbles.
  - Fréchet distances depend on the features and compare only under the same classifier, known by
    its mark above the table, never with a FID from elsewhere. They see means and covariances only.
    They grow as samples get fewer; the floor's has as many as there are test images.
  - The classifier was trained on the training images, which moves the floor a little.
  - The classifier score knows nothing of variety within a digit: ten images, one of each digit and
    repeated for ever, can reach the best.
  - None of them notices copies of training images.
"""

import csv
import hashlib
import inspect
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import mnist_gan  # before Keras: it keeps TensorFlow quiet

# isort: split
import keras
import numpy as np
from keras.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D

LOWEST_ACCURACY = 0.985  # a classifier that reads worse is no judge


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
    """Return the classifier of these images and labels, from the temporary folder or trained."""
    versions = f"{version('keras')} {version('tensorflow')}"
    recipe = (versions + inspect.getsource(train_classifier)).encode()
    key = hashlib.sha256(recipe + x_train.tobytes() + y_train.tobytes()).hexdigest()[:16]
    path = Path(tempfile.gettempdir(), f"mnist_gan_classifier_{key}.keras")
    if not path.exists():
        print("training the classifier, a minute or two", file=sys.stderr)
        classifier = train_classifier(x_train, y_train)
        with mnist_gan.replacing(path) as part:
            classifier.save(part)
    return keras.models.load_model(path, compile=False)


class Judge:
    """The classifier, and the real images that it compares with."""

    def __init__(self, data):
        """Load images and classifier; raise what `load_mnist_data` does."""
        x_train, y_train, x_test, y_test = mnist_gan.load_mnist_data(data)
        for labels in (y_train, y_test):
            if len(labels) < 2 or not np.isin(labels, range(10)).all():
                raise ValueError(f"data {data!r}: needs two images or more, with labels 0 to 9")
        self.x_train = x_train.reshape(-1, 28, 28, 1)
        x_test = (x_test.astype(np.float32) - 127.5) / 127.5

        classifier = get_classifier(self.x_train, y_train)
        weights = b"".join(weight.tobytes() for weight in classifier.get_weights())
        self.mark = hashlib.sha256(weights).hexdigest()[:8]
        outputs = [classifier.get_layer("features").output, *classifier.outputs]
        self.network = keras.Model(classifier.inputs, outputs)
        self.features, self.probabilities = self.read(x_test)  # of the test images
        self.accuracy = np.mean(self.probabilities.argmax(axis=1) == y_test)

    def read(self, images):
        """Return features (n, 64) and probabilities (n, 10), float64, of images in [-1, 1]."""
        outputs = self.network.predict(images.reshape(-1, 28, 28, 1), batch_size=500, verbose=0)
        return [output.astype(np.float64) for output in outputs]

    def judge(self, images):
        """Return the figures of images (n, 784) in [-1, 1], a row of the tables."""
        features, probabilities = self.read(images)
        return [frechet_distance(features, self.features), *describe(probabilities)]

    def judge_test_images(self, seed):
        """Return the figures of the test images, their distance that to random training images."""
        chosen = np.random.RandomState(seed).permutation(len(self.x_train))[: len(self.features)]
        features, _ = self.read(self.x_train[chosen])
        return [frechet_distance(features, self.features), *describe(self.probabilities)]


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


def load_generator(path):
    """Return a saved generator, tried out; FileNotFoundError or ValueError if it is none."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no generator there")
    try:
        generator = keras.models.load_model(path, compile=False)
        images = draw_samples(generator, mnist_gan.picture_noise(100))
        if images.shape != (100, 784):
            raise ValueError(f"it makes {images.shape[1:]}, not (784,)")
        if not np.abs(images).max() <= 1:  # nor is NaN
            raise ValueError("its pixels are not all from -1 to 1")
    except Exception as error:  # a foreign file can fail anywhere in Keras
        cause = mnist_gan.one_line(error)
        raise ValueError(f"{path} is no generator of mnist_gan.py: {cause}") from error
    return generator


def draw_samples(generator, noise):
    """Return images (n, 784) from noise (n, 100)."""
    generator.run_eagerly = True  # TensorFlow grumbles at compiling one network after the other
    return generator.predict(noise, batch_size=500, verbose=0)


def print_tables(rows):
    """Print {name: figures} as two Markdown tables, and what the last row is."""
    print("| images | Fréchet distance | classifier score | confident |\n|:--|--:|--:|--:|")
    for name, (frechet, score, confident, *_) in rows.items():
        print(f"| {name} | {frechet:.2f} | {score:.2f} | {confident:.1%} |")
    print("\nFréchet distances are to the test images; theirs is to as many training images.")
    print(f"\n| % read as | {' | '.join('0123456789')} |\n|:--|{'--:|' * 10}")
    for name, (_, _, _, *digits) in rows.items():
        print(f"| {name} | {' | '.join(f'{share:.1%}'[:-1] for share in digits)} |")


def save_csv(path, rows):
    """Save {name: figures} with all their digits; shares are from 0 to 1."""
    header = ["file", "frechet", "score", "confident", *(f"digit_{i}" for i in range(10))]
    with mnist_gan.replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        lines = [header, *([name, *figures] for name, figures in rows.items())]
        csv.writer(file, lineterminator="\n").writerows(lines)


def main():
    """Run the command line; return its exit code."""
    parser = mnist_gan.Parser("quality.py", allow_abbrev=False)
    parser.description = "Measure saved generators of mnist_gan.py; the file's docstring says how."
    add = parser.add_argument
    add("generators", nargs="+", type=Path, metavar="FILE", help="a saved generator.keras")
    add("--data", default="mnist", help="as for mnist_gan.py, but without drawing by default")
    add("--samples", type=mnist_gan.number, default=10_000, metavar="N", help="of each generator")
    add("--seed", type=mnist_gan.number, default=10, help="of the noise and the training images")
    add("--csv", type=Path, metavar="FILE", help="save the figures as CSV, too")
    arguments = parser.parse_args()
    warnings.formatwarning = lambda message, *_, **__: f"quality.py: warning: {message}\n"
    try:
        samples = mnist_gan.check_number("samples", arguments.samples, lowest=2)
        seed = mnist_gan.check_number("seed", arguments.seed, lowest=0)
        generators = {path: load_generator(path) for path in arguments.generators}
        judge = Judge(arguments.data)
        if judge.accuracy < LOWEST_ACCURACY:
            accuracy = f"{judge.accuracy:.2%} of the test images, less than {LOWEST_ACCURACY:.1%}"
            print(f"quality.py: error: the classifier reads only {accuracy}", file=sys.stderr)
            return 1
        noise = mnist_gan.picture_noise(samples, seed)
        rows = {path: judge.judge(draw_samples(g, noise)) for path, g in generators.items()}
        rows["test images"] = judge.judge_test_images(seed)

        packages = f"Keras {version('keras')}, TensorFlow {version('tensorflow')}"
        print(f"{packages}; classifier {judge.mark}, test accuracy {judge.accuracy:.2%}; ", end="")
        print(f"{samples:,} samples of each generator, seed {seed}\n")
        print_tables(rows)
        if arguments.csv:
            save_csv(arguments.csv, rows)
    except (ValueError, OSError, MemoryError) as error:
        print(f"quality.py: error: {mnist_gan.one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("quality.py: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
