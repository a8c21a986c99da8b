"""The loop in `train` and the plot are the tutorial's, and what a reader adds to them runs."""

import ast

import numpy as np
from helpers import SCRIPT, load_changed

# A step of the tutorial, in its order; only `predict_on_batch` stood as `predict`, and the two
# losses were thrown away.
STEP = """
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
"""
PLOT = ["normal", "predict_on_batch", "reshape", "figure", "subplot", "imshow", "axis"]
PLOT += ["tight_layout", "savefig"]


def function(name):
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    (found,) = [node for node in tree.body if getattr(node, "name", None) == name]
    return found


def test_a_step_is_the_tutorials_statement_for_statement():
    loops = [node for node in ast.walk(function("train")) if isinstance(node, ast.For)]
    (epochs,) = [loop for loop in loops if any(isinstance(node, ast.For) for node in loop.body)]
    (steps,) = [node for node in epochs.body if isinstance(node, ast.For)]
    statements = [ast.unparse(node) for node in steps.body]
    expected = [ast.unparse(node) for node in ast.parse(STEP).body]
    assert statements[: len(expected)] == expected
    assert len(statements) <= len(expected) + 2


def test_the_plot_makes_the_tutorials_calls_in_its_order():
    calls = [node for node in ast.walk(function("plot_generated_images"))]
    calls = [node for node in calls if isinstance(node, ast.Call)]
    calls.sort(key=lambda node: (node.end_lineno, node.end_col_offset))
    names = [node.func.attr for node in calls if isinstance(node.func, ast.Attribute)]
    assert [name for name in names if name in PLOT] == PLOT


def test_python_added_to_the_loop_runs_at_every_step(no_xla, tmp_path, npz):
    old = "y_dis[:batch_size] = 0.9\n"
    new = old + " " * 12 + "y_dis += 0.05 * np.random.random(2 * batch_size)\n"
    changed = load_changed(tmp_path, old, new)
    labels, get_discriminator = [], changed.get_discriminator

    def get_watched_discriminator(optimizer):
        discriminator = get_discriminator(optimizer)
        train_on_batch = discriminator.train_on_batch

        def watch(x, y):
            labels.append(y.copy())
            return train_on_batch(x, y)

        discriminator.train_on_batch = watch
        return discriminator

    changed.get_discriminator = get_watched_discriminator
    changed.train(1, 100, data=npz, output_dir=tmp_path / "out")
    assert len(labels) == 3
    assert len({tuple(y) for y in labels}) == 3
    assert all(y[:100].min() >= 0.9 and y[100:].max() <= 0.05 for y in labels)


def test_every_step_draws_what_the_tutorial_drew_and_nothing_else_draws(train, tmp_path):
    train(2, tmp_path / "out")
    random = np.random.RandomState(3)
    for _ in range(2 * 18):
        random.normal(0, 1, size=[16, 100])
        random.randint(0, 300, size=16)
        random.normal(0, 1, size=[16, 100])
    assert np.array_equal(np.random.random(5), random.random_sample(5))


def test_train_uses_the_functions_that_stand_in_the_module(small, train, monkeypatch, tmp_path):
    used = []

    def watch(name):
        original = getattr(small, name)

        def call(*arguments, **options):
            used.append(name)
            return original(*arguments, **options)

        monkeypatch.setattr(small, name, call)

    names = ["load_mnist_data", "get_optimizer", "get_generator", "get_discriminator"]
    names += ["get_gan_network", "plot_generated_images"]
    for name in names:
        watch(name)
    train(1, tmp_path / "out")
    assert used == names
