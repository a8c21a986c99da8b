"""The loop in `train` and the plot are the tutorial's, and what a reader adds to them runs."""

import ast

import numpy as np
import pytest
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


def nodes(name, kind):
    """Return the nodes of one kind in a function of the script, in the order of its text."""
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    (function,) = [node for node in tree.body if getattr(node, "name", None) == name]
    found = [node for node in ast.walk(function) if isinstance(node, kind)]
    return sorted(found, key=lambda node: (node.end_lineno, node.end_col_offset))


def test_a_step_is_the_tutorials_statement_for_statement():
    steps = nodes("train", ast.For)[0]  # The loop over the epochs ends after it.
    statements = [ast.unparse(node) for node in steps.body]
    expected = [ast.unparse(node) for node in ast.parse(STEP).body]
    assert statements[: len(expected)] == expected
    assert len(statements) <= len(expected) + 2


def test_the_plot_makes_the_tutorials_calls_in_its_order():
    calls = [getattr(node.func, "attr", "") for node in nodes("plot_generated_images", ast.Call)]
    assert [call for call in calls if call in PLOT] == PLOT


def test_python_added_to_the_loop_runs_at_every_step(no_xla, tmp_path, npz):
    old = "y_dis[:batch_size] = 0.9\n"
    new = old + " " * 12 + "y_dis += 0.05 * np.random.random(2 * batch_size)\n"
    changed = load_changed(tmp_path, old, new + " " * 12 + "labels.append(y_dis)\n")
    changed.labels = []
    changed.train(1, 100, data=npz, output_dir="out")
    assert len({tuple(y) for y in changed.labels}) == len(changed.labels) == 3


def test_every_step_draws_what_the_tutorial_drew_and_nothing_else_draws(train):
    train(2, "out")
    random = np.random.RandomState(3)
    for _ in range(2 * 3):
        random.normal(0, 1, size=[100, 100])
        random.randint(0, 300, size=100)
        random.normal(0, 1, size=[100, 100])
    assert np.array_equal(np.random.random(5), random.random_sample(5))


NAMES = ["load_mnist_data", "get_optimizer", "get_generator", "get_discriminator"]


@pytest.mark.parametrize("name", [*NAMES, "get_gan_network", "plot_generated_images"])
def test_a_function_that_a_reader_puts_in_the_module_is_used(small, train, monkeypatch, name):
    monkeypatch.setattr(small, name, lambda *_, **__: int(f"{name} was used"))
    with pytest.raises(ValueError, match=f"{name} was used"):
        train(1, "out")
