"""What several test files share. No test needs a network or leaves files outside `tmp_path`."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

import mnist_gan

SCRIPT = Path(mnist_gan.__file__).resolve()
SMALL = ("--batch-size", 64, "--limit", 256)  # four steps an epoch


def load_script(path=SCRIPT):
    """Return a fresh module of the script, or of a changed copy."""
    spec = importlib.util.spec_from_file_location("script_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_changed(old, new):
    """Return the script as a module, with one piece of its text replaced."""
    text = SCRIPT.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the script"
    Path("changed.py").write_text(text.replace(old, new), encoding="utf-8")
    return load_script("changed.py")


def write_npz(path, seed=1, **changes):
    """Write a valid small data file, with some arrays replaced or, if None, left out."""
    images = np.random.RandomState(seed).randint(0, 256, (300, 28, 28), np.uint8)
    arrays = {"x_train": images, "x_test": images[:20]}
    arrays |= {"y_train": images[:, 0, 0] % 10, "y_test": images[:20, 0, 0] % 10} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def plot_quickly(epoch, generator, output_dir):
    """Do what `plot_generated_images` does a hundred times faster, for tests of something else."""
    noise = np.random.RandomState(0).normal(0, 1, size=[100, 100])
    path = Path(output_dir, f"gan_generated_image_epoch_{epoch}.png")
    path.write_bytes(generator.predict_on_batch(noise).tobytes())


def contents(folder, endings=""):
    """Return the bytes of the files in a folder, by name."""
    files = [path for path in Path(folder).iterdir() if path.name.endswith(endings)]
    return {path.name: path.read_bytes() for path in files if path.is_file()}


def results(folder):
    """Return all that must be the same to the byte: weights, losses, pictures, curves, GIF."""
    generator = keras.models.load_model(Path(folder, "generator.keras"), compile=False)
    weights = [weight.tobytes() for weight in generator.get_weights()]
    rows = Path(folder, "gan_loss.csv").read_text().splitlines()
    losses = [row.rsplit(",", 1)[0] for row in rows]  # without the seconds
    return weights, losses, contents(folder, (".png", ".gif"))


def start_command(*arguments, script=SCRIPT, **environment):
    """Start the command in a process of its own, in the working folder."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    line = [sys.executable, *map(str, [script, *arguments])]
    return subprocess.Popen(line, env=os.environ | environment, **pipes)


def run_command(*arguments, **options):
    """Run the command to its end; return (exit code, out, err)."""
    process = start_command(*arguments, **options)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err
