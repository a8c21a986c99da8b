"""What several test files share. No test needs a network or leaves files outside `tmp_path`."""

import csv
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np

import mnist_gan

SCRIPT = Path(mnist_gan.__file__).resolve()
PATIENCE = 300  # seconds after which a process counts as hung, on a slow and busy machine too
SMALL = ("--batch-size", 64, "--limit", 256)  # four steps an epoch


def load_script(path=SCRIPT):
    """Return a fresh module of the script, or of a changed copy."""
    spec = importlib.util.spec_from_file_location("script_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_changed(tmp_path, old, new):
    """Return the script as a module, with one piece of its text replaced."""
    text = SCRIPT.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the script"
    path = tmp_path / "changed.py"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return load_script(path)


def make_networks(module=mnist_gan):
    """Return generator, discriminator and gan, made as the tutorial makes them."""
    adam = module.get_optimizer()
    generator = module.get_generator(adam)
    discriminator = module.get_discriminator(adam)
    gan = module.get_gan_network(discriminator, module.random_dim, generator, adam)
    return generator, discriminator, gan


def write_npz(path, **changes):
    """Write a valid small data file, with some arrays replaced or, if None, left out."""
    random = np.random.RandomState(1)
    arrays = {
        "x_train": random.randint(0, 256, (300, 28, 28), np.uint8),
        "y_train": random.randint(0, 10, 300).astype(np.uint8),
        "x_test": random.randint(0, 256, (20, 28, 28), np.uint8),
        "y_test": random.randint(0, 10, 20).astype(np.uint8),
    }
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def plot_quickly(epoch, generator, output_dir):
    """Do what `plot_generated_images` does a hundred times faster, for tests of something else."""
    noise = np.random.RandomState(0).normal(0, 1, size=[100, 100])
    pixels = np.uint8(127.5 - 127.5 * generator.predict_on_batch(noise))
    path = Path(output_dir) / f"gan_generated_image_epoch_{epoch}.png"
    path.write_bytes(pixels.tobytes())


def contents(folder):
    """Return the bytes of every file in a folder, by name."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def pictures(folder):
    """Return the bytes of a run's pictures, curves and GIF, by name."""
    return {n: b for n, b in contents(folder).items() if n.endswith((".png", ".gif"))}


def read_losses(folder):
    """Return the rows of gan_loss.csv without the seconds: (epoch, d_loss, g_loss) as text."""
    with open(Path(folder) / "gan_loss.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["epoch", "d_loss", "g_loss", "seconds"]
    return [tuple(row[:3]) for row in rows]


def saved_weights(folder):
    """Return all weights of the saved generator, one after the other."""
    generator = keras.models.load_model(Path(folder) / "generator.keras", compile=False)
    return np.concatenate([weight.ravel() for weight in generator.get_weights()])


def check_same_results(folder, other):
    """Compare weights, losses and pictures of two runs to the byte."""
    assert np.array_equal(saved_weights(other), saved_weights(folder))
    assert read_losses(other) == read_losses(folder)
    expected, found = pictures(folder), pictures(other)
    assert found.keys() == expected.keys()
    for name, content in expected.items():
        assert found[name] == content, name


def start_command(*arguments, cwd, script=SCRIPT, **environment):
    """Start the command in a process of its own; kill it if it hangs."""
    line = [sys.executable, *map(str, ([] if script is None else [script, *arguments]))]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent)} | environment
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(line, cwd=cwd, env=environment, text=True, **pipes)
    watch = threading.Timer(PATIENCE, process.kill)
    watch.daemon = True
    watch.start()
    return process


def run_command(*arguments, cwd, script=SCRIPT, **environment):
    """Run the command to its end; return (exit code, out, err)."""
    process = start_command(*arguments, cwd=cwd, script=script, **environment)
    out, err = process.communicate()
    return process.returncode, out, err
