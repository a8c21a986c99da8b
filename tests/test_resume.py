"""Nothing lost: exact continuation, kills, Ctrl-C, full disks, refusals, earlier runs."""

import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import (
    PATIENCE,
    SCRIPT,
    at_epoch,
    check_same_run,
    contents,
    read_losses,
    run_python,
    saved_weights,
    start_python,
    write_npz,
)

import mnist_gan


def run(epochs, data, folder, **changes):
    arguments = {"batch_size": 64, "seed": 3, "sample_every": 2, "output_dir": folder} | changes
    return mnist_gan.train(epochs, data=data, **arguments)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Train four epochs in one go; return (data file, folder, losses)."""
    folder = tmp_path_factory.mktemp("whole")
    data = write_npz(folder / "data.npz")
    return data, folder / "out", run(4, data, folder / "out")


@pytest.fixture
def stopped(whole, tmp_path):
    """Return a copy of the finished run, and a function that tells whether it is untouched."""
    folder = tmp_path / "out"
    shutil.copytree(whole[1], folder)
    before = contents(folder)
    return folder, lambda: contents(folder) == before


def test_resume_continues_exactly(whole, tmp_path, capsys):
    data, folder, losses = whole
    run(2, data, tmp_path)
    np.random.seed(99)  # what else happens in between does not matter
    resumed = run(4, data, tmp_path, resume=True)
    check_same_run(folder, tmp_path)
    for name in losses:
        assert np.array_equal(losses[name], resumed[name]) and len(losses[name]) == 4 * (300 // 64)
    assert "2 of 4 epochs are done" in capsys.readouterr().out
    again = run(4, data, tmp_path, resume=True)  # nothing left to do
    assert "4 of 4 epochs are done" in capsys.readouterr().out
    assert np.array_equal(again["d_loss"], losses["d_loss"])
    check_same_run(folder, tmp_path)


def give_each_network_its_optimizer(monkeypatch):
    make = mnist_gan.get_discriminator
    adam = keras.optimizers.Adam
    monkeypatch.setattr(mnist_gan, "get_discriminator", lambda _: make(adam(0.0004, beta_1=0.5)))


def test_resume_with_optimizers_of_their_own(no_xla, monkeypatch, whole, tmp_path):
    give_each_network_its_optimizer(monkeypatch)
    run(2, whole[0], tmp_path / "whole")
    run(1, whole[0], tmp_path / "parts", sample_every=3)
    run(2, whole[0], tmp_path / "parts", sample_every=3, resume=True)
    for weight, expected in zip(
        saved_weights(tmp_path / "parts"), saved_weights(tmp_path / "whole")
    ):
        assert np.array_equal(weight, expected)
    rows = [[row["d_loss"] for row in read_losses(tmp_path / name)] for name in ("whole", "parts")]
    assert rows[0] == rows[1]


def test_resume_takes_the_learning_rate_from_the_code(small_networks, monkeypatch, whole, tmp_path):
    run(1, whole[0], tmp_path)
    before = saved_weights(tmp_path)
    adam = keras.optimizers.Adam
    monkeypatch.setattr(mnist_gan, "get_optimizer", lambda: adam(0.0, beta_1=0.5))
    run(2, whole[0], tmp_path, resume=True)
    for weight, expected in zip(saved_weights(tmp_path), before):
        assert np.array_equal(weight, expected)


# Each kills the process without warning: before or after the n-th call of something or the first
# one for a file of some name, or after half of the file was written.
KILLS = {
    "between picture and checkpoint": ("mnist_gan.plot_generated_images", 2, "after"),
    "while a checkpoint is written": ("numpy.savez", 2, "half"),
    "while the curves are written": ("matplotlib.figure.Figure.savefig", 1, "half"),
    "after the checkpoint is in place": ("os.replace", "checkpoint.npz", "after"),
}
KILLER = """
import os, signal, sys, pytest, conftest, mnist_gan, numpy, matplotlib.figure
owner, name = {target!r}.rsplit(".", 1)
original, calls = getattr(eval(owner), name), []

def call(*arguments, **options):
    calls.append(1)
    due = len(calls) == {when!r} or str(arguments[-1]).endswith(str({when!r}))
    result = original(*arguments, **options)
    if due:
        if {moment!r} == "half":
            path = next(a for a in arguments if isinstance(a, os.PathLike))
            os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(eval(owner), name, call)
conftest.shrink_networks(pytest.MonkeyPatch())
mnist_gan.train(4, 64, **{arguments!r})
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_killed_at_any_moment_and_resumed(small_networks, whole, tmp_path):
    data, _, _ = whole
    folder = tmp_path / "out"
    arguments = {"data": str(data), "seed": 3, "output_dir": str(folder), "sample_every": 1}
    for target, when, moment in KILLS.values():
        arguments["resume"] = (folder / "checkpoint.npz").exists()
        kill = {"target": target, "when": when, "moment": moment, "arguments": arguments}
        code, _, err = run_python("-c", KILLER.format(**kill), cwd=tmp_path)
        assert code == -signal.SIGKILL, (kill, err)
    run(4, data, folder, sample_every=1, resume=True)
    run(4, data, tmp_path / "whole", sample_every=1)
    check_same_run(tmp_path / "whole", folder)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interruption_in_a_terminal_and_a_second_run(command, whole, tmp_path):
    options = ["--data", whole[0], "--batch-size", 64, "--output-dir", tmp_path]
    process = start_python(SCRIPT, *options, "--epochs", 100_000, cwd=tmp_path)
    hung = threading.Timer(PATIENCE, process.kill)
    hung.start()
    assert process.stdout.readline().startswith("epoch 1/100000")
    code, out, err = command(*options)
    assert (code, out) == (2, "") and "another run is using it" in err and str(tmp_path) in err
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    hung.cancel()
    assert process.returncode == 130 and "Traceback" not in err
    last = err.splitlines()[-1]
    done = len(out.splitlines()) + 1
    assert "mnist_gan.py: interrupted" in last and f"epochs saved: {done};" in last
    assert "--resume" in last and "resume=True" in last
    assert not [name for name in contents(tmp_path) if name.startswith("part-")]

    code, out, _ = command(*options, "--epochs", 1, "--resume")  # whatever is done is enough
    assert code == 0 and f"{done} of 1 epochs are done" in out


@pytest.mark.parametrize("epoch", [1, 3])
def test_interruption_in_a_notebook(small_networks, monkeypatch, tmp_path, npz, epoch):
    def interrupt():
        raise KeyboardInterrupt

    at_epoch(monkeypatch, epoch, interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(4, npz, tmp_path / "out", sample_every=1)
    advice = "start again" if epoch == 1 else "resume=True"
    assert f"epochs saved: {epoch - 1};" in str(caught.value) and advice in str(caught.value)
    assert caught.value._render_traceback_() == (str(caught.value),)  # all that IPython prints
    monkeypatch.undo()
    if epoch == 3:
        assert len(read_losses(tmp_path / "out")) == 2
        assert "gan_training.gif" in contents(tmp_path / "out")


def test_an_interruption_before_training(command, monkeypatch, tmp_path):
    def interrupt(data):
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist_gan, "load_mnist_data", interrupt)
    code, out, err = command("--output-dir", tmp_path / "out")
    assert (code, out, err) == (130, "", "mnist_gan.py: interrupted\n")
    assert not (tmp_path / "out").exists()


REFUSED = {
    "another batch size": ({"batch_size": 32}, "batch_size was 64, now 32$"),
    "another seed": ({"seed": 4}, "seed was 3, now 4$"),
    "a limit": ({"limit": 100}, "limit was None, now 100$"),
    "both": ({"seed": 4, "batch_size": 32}, "batch_size was 64, now 32; seed was 3, now 4$"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_resume_with_other_arguments_is_refused(no_xla, whole, stopped, case):
    changes, message = REFUSED[case]
    folder, untouched = stopped
    with pytest.raises(ValueError, match=f"checkpoint.npz is not a checkpoint.*: {message}"):
        run(6, whole[0], folder, resume=True, **changes)
    assert untouched()


def test_resume_with_other_data_is_refused(no_xla, whole, stopped, tmp_path):
    folder, untouched = stopped
    with np.load(whole[0]) as archive:
        arrays = dict(archive)
    arrays["x_train"][-1, -1, -1] ^= 1  # the smallest possible difference
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ValueError, match="data was .*data.npz, now .*other.npz with other images"):
        run(6, tmp_path / "other.npz", folder, resume=True)
    assert untouched()


def test_resume_of_a_run_on_drawn_digits_where_mnist_is(small_networks, monkeypatch, tmp_path):
    x = np.zeros((100, 784), np.float32)
    y = np.array([5, 0, 4, 1, 9] * 20)
    for image, labels in ((0, y[::-1]), (1, y)):
        arrays = (x + image, labels, x, y)
        monkeypatch.setattr(mnist_gan, "load_mnist_data", lambda data, arrays=arrays: arrays)
        if image == 0:
            mnist_gan.train(1, 50, output_dir=tmp_path)
    with pytest.raises(ValueError, match="data was drawn, now MNIST.*--data drawn.*data='drawn'"):
        mnist_gan.train(2, 50, output_dir=tmp_path, resume=True)


def change_activation(optimizer):
    generator = keras.Sequential(
        [keras.Input((100,)), keras.layers.Dense(256), keras.layers.ReLU()]
    )
    generator.add(keras.layers.Dense(784, activation="tanh"))
    generator.compile(loss="binary_crossentropy", optimizer=optimizer)
    return generator


@pytest.mark.parametrize("part", ["layers", "optimizers"])
def test_resume_with_other_layers_or_optimizers_is_refused(
    no_xla, monkeypatch, whole, stopped, part
):
    folder, untouched = stopped
    if part == "layers":
        monkeypatch.setattr(mnist_gan, "get_generator", change_activation)
        message = "generator was Dense 256, LeakyReLU, .*, now Dense 256, ReLU, Dense 784, Adam$"
    else:
        monkeypatch.setattr(mnist_gan, "get_optimizer", keras.optimizers.SGD)
        message = "Adam, now .*SGD$"
    with pytest.raises(ValueError, match=message):
        run(6, whole[0], folder, resume=True)
    assert untouched()


def test_resume_with_other_shapes_is_refused(no_xla, monkeypatch, whole, stopped):
    folder, untouched = stopped
    monkeypatch.setattr(mnist_gan, "random_dim", 50)
    with pytest.raises(ValueError, match="checkpoint.npz.*shape"):
        run(6, whole[0], folder, resume=True)
    assert untouched()


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.9999])
def test_a_truncated_checkpoint_is_refused(small_networks, command, whole, stopped, keep):
    folder, _ = stopped
    path = folder / "checkpoint.npz"
    size = path.stat().st_size
    os.truncate(path, int(keep * size) if keep < 1 else keep)
    before = contents(folder)
    options = ["--data", whole[0], "--batch-size", 64, "--seed", 3, "--output-dir", folder]
    code, _, err = command("--resume", *options)
    assert code == 2 and err.count("\n") == 1 and f"error: {path} is not a checkpoint" in err
    assert contents(folder) == before


def test_a_foreign_checkpoint_is_refused(small_networks, whole, stopped):
    folder, _ = stopped
    foreign = ({"x": np.zeros(3)}, {"about": "{}"}, {"about": "rubbish"}, {"about": "[]"})
    for arrays in foreign:
        np.savez(folder / "checkpoint.npz", **arrays)
        with pytest.raises(ValueError, match="is not a checkpoint of this run"):
            run(6, whole[0], folder, resume=True)


def test_a_missing_checkpoint_is_refused(command, whole, tmp_path):
    code, _, err = command("--resume", "--data", whole[0], "--output-dir", tmp_path / "none")
    assert code == 2 and "checkpoint.npz: no checkpoint; " in err
    assert not (tmp_path / "none").exists()


def test_a_new_run_moves_the_earlier_one_aside(small_networks, whole, stopped, capsys):
    folder, _ = stopped
    before = contents(folder)
    kept = {"notes.txt": b"mine", "gan_generated_image_epoch_best.png": b"mine too"}
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    for number in (1, 2):
        run(1, whole[0], folder)
        assert f"subfolder run_{number}" in capsys.readouterr().out
    assert contents(folder / "run_1") == before
    assert len(contents(folder / "run_2")) == 7
    assert {name: contents(folder)[name] for name in kept} == kept


def test_a_move_cut_short_is_finished_by_the_next_run(small_networks, whole, stopped, monkeypatch):
    folder, _ = stopped
    before = contents(folder)
    shutil.copytree(folder, folder / "run_1")  # an older run
    rename = os.rename

    def fail_for_one(path, target):
        if Path(path).name == "generator.keras":
            raise PermissionError(13, "in use", str(path))
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail_for_one)
        with pytest.raises(PermissionError, match="generator.keras"):
            run(1, whole[0], folder)
    assert contents(folder) | contents(folder / "run_2") == before
    run(1, whole[0], folder)
    assert contents(folder / "run_2") == before


def test_a_run_that_came_to_nothing_leaves_no_folder(small_networks, monkeypatch, tmp_path, npz):
    with monkeypatch.context() as patch:
        patch.setattr(mnist_gan, "tqdm", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(1, npz, tmp_path / "out")
    run(1, npz, tmp_path / "out")
    assert [path for path in (tmp_path / "out").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(
    command, monkeypatch, small_networks, tmp_path, npz, value
):
    get_train_step, calls = mnist_gan.get_train_step, []

    def get_poisoned_step(*arguments):
        step = get_train_step(*arguments)

        def poisoned(*batch):
            calls.append(1)  # four steps an epoch: the sixth is the second of epoch 2
            d_loss, g_loss = step(*batch)
            return d_loss, g_loss * (value if len(calls) == 6 else 1)

        return poisoned

    monkeypatch.setattr(mnist_gan, "get_train_step", get_poisoned_step)
    code, _, err = command("--data", npz, "--batch-size", 64, "--output-dir", tmp_path / "out")
    assert code == 1 and "Traceback" not in err
    last = err.splitlines()[-1]
    assert "mnist_gan.py: error: epoch 2/40, step 2: " in last and str(value) in last
    assert "try another seed" in last
    assert len(read_losses(tmp_path / "out")) == 1 and "checkpoint.npz" in contents(
        tmp_path / "out"
    )


@pytest.mark.skipif(os.name == "nt", reason="limits and mounts of POSIX")
def test_a_full_disk(command, no_xla, tmp_path, npz):
    """On a small disk of its own where one may be mounted, else by a limit on the size of files."""
    resource = pytest.importorskip("resource")
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["--data", npz, "--batch-size", 64, "--output-dir", folder]
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(mount, capture_output=True).returncode == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        assert command(*options, "--epochs", 1)[0] == 0
        before = (folder / "checkpoint.npz").read_bytes()
        if not mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, limits[1]))
        code, _, err = command(*options, "--epochs", 2, "--resume")
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        cause = "No space left on device" if mounted else "File too large"
        last = err.splitlines()[-1]
        assert code == 1 and f"{folder / 'checkpoint.npz'} could not be written: {cause}" in last
        assert "Traceback" not in err
        assert (folder / "checkpoint.npz").read_bytes() == before
        assert not (folder / "part-checkpoint.npz").exists()
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=200m", str(folder)], check=True)
        assert command(*options, "--epochs", 2, "--resume")[0] == 0
        assert len(read_losses(folder)) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_another_run_uses(small_networks, monkeypatch, tmp_path, npz):
    """In one process, as in a notebook with two kernels' worth of threads."""
    refusals = []

    def start_another():
        for resume in (False, True):
            with pytest.raises(ValueError, match="another run is using it") as refusal:
                run(1, npz, tmp_path / "out", resume=resume)
            refusals.append(refusal)

    at_epoch(monkeypatch, 2, start_another)
    run(2, npz, tmp_path / "out", sample_every=1)
    assert len(refusals) == 2 and len(read_losses(tmp_path / "out")) == 2
    assert json.loads((tmp_path / "out" / "run.json").read_text())["arguments"]["epochs"] == 2
