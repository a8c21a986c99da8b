"""Nothing lost: exact continuation, kills, Ctrl-C, full disks, refusals, earlier runs."""

import itertools
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from conftest import check_same_run, contents, dense, read_losses, run, saved_weights, start_python
from keras.optimizers import SGD, Adam

import mnist_gan


@pytest.fixture
def stopped(still, tmp_path, npz):
    """Train two epochs; return the folder, and the contents of its files."""
    run(2, npz, tmp_path / "out")
    return tmp_path / "out", contents(tmp_path / "out")


def interrupt(*_):
    raise KeyboardInterrupt


def test_resume_continues_exactly(whole, tmp_path, capsys):
    data, folder, losses = whole
    run(2, data, tmp_path)
    np.random.seed(99)  # what else happens in between does not matter
    for done in (2, 4):  # the second time, nothing is left to do
        resumed = run(4, data, tmp_path, resume=True)
        assert f"epochs done: {done} of 4" in capsys.readouterr().out
        assert all(np.array_equal(losses[name], resumed[name]) for name in losses)
        check_same_run(folder, tmp_path)


def test_resume_with_optimizers_of_their_own(small_networks, monkeypatch, tmp_path, npz):
    make = mnist_gan.get_discriminator
    monkeypatch.setattr(mnist_gan, "get_discriminator", lambda _: make(Adam(0.0004, beta_1=0.5)))
    run(2, npz, tmp_path / "whole")
    run(1, npz, tmp_path / "parts")
    run(2, npz, tmp_path / "parts", resume=True)
    check_same_run(tmp_path / "whole", tmp_path / "parts")


def test_resume_takes_the_learning_rate_from_the_code(small_networks, monkeypatch, tmp_path, npz):
    run(1, npz, tmp_path)
    before = saved_weights(tmp_path)
    monkeypatch.setattr(mnist_gan, "get_optimizer", lambda: Adam(0.0, beta_1=0.5))
    run(2, npz, tmp_path, resume=True)
    assert np.array_equal(saved_weights(tmp_path), before)


# Each kills the process without warning in the n-th call of a function, for a file of some name.
KILLS = {
    "while a checkpoint is written": ("numpy.savez", "checkpoint.npz", 2, "half"),
    "while the curves are written": ("matplotlib.figure.Figure.savefig", "png", 1, "half"),
    "after the last checkpoint is in place": ("os.replace", "checkpoint.npz", 2, "after"),
}
KILLER = """
import os, signal, sys, pytest, conftest, mnist_gan, numpy, matplotlib.figure
target, file, due, moment = {kill!r}
owner, name = target.rsplit(".", 1)
original, calls = getattr(eval(owner), name), []

def call(*arguments, **options):
    result = original(*arguments, **options)
    path = [a for a in arguments if isinstance(a, os.PathLike)][-1]
    calls.append(str(path).endswith(file))
    if sum(calls) == due:
        if moment == "half":
            os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(eval(owner), name, call)
conftest.shrink_networks(pytest.MonkeyPatch())
conftest.run(3, {data!r}, {folder!r}, sample_every=1, resume={resume!r})
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_killed_at_any_moment_and_resumed(small_networks, tmp_path, npz):
    folder, whole = tmp_path / "out", tmp_path / "whole"
    for kill in KILLS.values():
        resume = (folder / "checkpoint.npz").exists()
        code = KILLER.format(kill=kill, data=str(npz), folder=str(folder), resume=resume)
        process = start_python("-c", code, cwd=tmp_path)
        _, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, (kill, err)
    run(3, npz, whole, sample_every=1)
    assert np.array_equal(saved_weights(folder), saved_weights(whole))
    run(3, npz, folder, sample_every=1, resume=True)  # only the curves are left to do
    check_same_run(whole, folder)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interruption_in_a_terminal_and_a_second_run(command, whole, tmp_path):
    options = ["--data", whole[0], "--batch-size", 64, "--output-dir", tmp_path]
    process = start_python(mnist_gan.__file__, *options, "--epochs", 100_000, cwd=tmp_path)
    assert process.stdout.readline().startswith("epoch 1/100000")
    for extra in ([], ["--resume"]):
        code, out, err = command(*options, *extra)
        assert (code, out) == (2, "") and f"{tmp_path} cannot" in err and "another run" in err
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    last, done = err.splitlines()[-1], len(out.splitlines()) + 1
    assert process.returncode == 130 and "Traceback" not in err
    assert f"mnist_gan.py: interrupted; epochs saved: {done}; " in last
    assert "--resume" in last and "resume=True" in last
    assert not [name for name in contents(tmp_path) if name.startswith("part-")]

    code, out, _ = command(*options, "--epochs", 1, "--resume")  # whatever is done is enough
    assert code == 0 and f"epochs done: {done} of 1" in out


STOPS = [("plot_generated_images", 1, "start again"), ("plot_generated_images", 3, "resume=True")]
STOPS += [("generate_sheet", 1, "start again"), ("generate_sheet", 3, "resume=True")]


@pytest.mark.parametrize("name, epoch, advice", STOPS)
def test_interruption_in_a_notebook(still, monkeypatch, tmp_path, npz, name, epoch, advice):
    calls, function = itertools.count(1), getattr(mnist_gan, name)

    def stop(*arguments, **options):
        return interrupt() if next(calls) == epoch else function(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as caught:
        patch.setattr(mnist_gan, name, stop)
        run(4, npz, tmp_path / "out", sample_every=1)
    assert f"epochs saved: {epoch - 1}; " in str(caught.value) and advice in str(caught.value)
    assert caught.value._render_traceback_() == (str(caught.value),)  # all that IPython prints
    run(4, npz, tmp_path / "out", sample_every=1, resume=epoch > 1)
    assert len(read_losses(tmp_path / "out")) == 4
    # A first picture is kept; what came to nothing is not.
    assert (tmp_path / "out" / "run_1").exists() == ((name, epoch) == ("generate_sheet", 1))


def test_an_interruption_before_training(command, monkeypatch, tmp_path):
    monkeypatch.setattr(mnist_gan, "load_mnist_data", interrupt)
    code, out, err = command("--output-dir", tmp_path / "out")
    assert (code, out, err) == (130, "", "mnist_gan.py: interrupted\n")
    assert not (tmp_path / "out").exists()


def load_other_data(data, load=mnist_gan.load_mnist_data):
    arrays = load(data)
    arrays[0][-1, -1] += 2 / 255  # the smallest possible difference
    return arrays


OTHERS = {"batch_size": 32, "limit": 99, "seed": 4}
REFUSED = [
    (OTHERS, {}, "batch_size was 16, now 32; limit was None, now 99; seed was 3, now 4$"),
    ({}, {"load_mnist_data": load_other_data}, "data was .*, now .* with other images$"),
    ({}, {"get_generator": dense(100, 9, 784)}, "generator was Dense 8, .*, now Dense 9, [^;]*$"),
    ({}, {"get_discriminator": dense(784, 1)}, "discriminator was Dense 8, .*, now Dense 1, Adam$"),
    ({}, {"get_optimizer": SGD}, "generator was .* Adam, now .* SGD; discriminator .* SGD$"),
    ({}, {"get_generator": dense(50, 8, 784), "random_dim": 50}, ".*shape"),
]


@pytest.mark.parametrize("arguments, swapped, message", REFUSED)
def test_resume_of_another_run_is_refused(stopped, monkeypatch, npz, arguments, swapped, message):
    for name, value in swapped.items():
        monkeypatch.setattr(mnist_gan, name, value)
    with pytest.raises(ValueError, match=f"checkpoint.npz does not fit this run.*: {message}"):
        run(6, npz, stopped[0], resume=True, **arguments)
    assert contents(stopped[0]) == stopped[1]


def test_resume_of_a_run_on_drawn_digits_where_mnist_is(still, monkeypatch, tmp_path):
    x, y = np.zeros((100, 784), np.float32), np.array([5, 0, 4, 1, 9] * 20)
    arrays = [(x, y[::-1], x, y), (x + 1, y, x, y)]
    monkeypatch.setattr(mnist_gan, "load_mnist_data", lambda data: arrays.pop(0))
    run(1, "auto", tmp_path)
    with pytest.raises(ValueError, match="data was drawn, now MNIST.*--data drawn.*data='drawn'"):
        run(2, "auto", tmp_path, resume=True)


def test_a_damaged_or_foreign_checkpoint_is_refused(stopped, command, npz):
    folder, before = stopped
    path, whole = folder / "checkpoint.npz", before["checkpoint.npz"]
    damaged = [whole[:length] for length in (0, 100, len(whole) // 2, len(whole) - 9)]
    for arrays in ({"x": np.zeros(3)}, {"about": "{}"}, {"about": "rubbish"}, {"about": "[]"}):
        np.savez(path, **arrays)
        damaged.append(path.read_bytes())
    for content in damaged:
        path.write_bytes(content)
        options = ["--data", npz, "--batch-size", 16, "--seed", 3, "--output-dir", folder]
        code, _, err = command("--resume", *options)
        assert code == 2 and err.count("\n") == 1 and f"error: {path} does not fit" in err
        assert contents(folder) == before | {path.name: content}


def test_a_new_run_moves_the_earlier_one_aside(stopped, npz, capsys):
    folder, before = stopped
    kept = {"notes.txt": b"mine", "gan_generated_image_epoch_best.png": b"mine too"}
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    for number in (1, 2):
        run(1, npz, folder)
        assert f"subfolder run_{number}" in capsys.readouterr().out
    assert contents(folder / "run_1") == before
    assert contents(folder / "run_2").keys() == before.keys() - {"gan_generated_image_epoch_2.png"}
    assert {name: contents(folder)[name] for name in kept} == kept


@pytest.mark.parametrize("stuck", ["gan_loss.png", "checkpoint.npz", "run.json"])
def test_a_move_cut_short_is_finished_by_the_next_run(stopped, npz, monkeypatch, stuck):
    folder, before = stopped
    rename = os.rename
    shutil.copytree(folder, folder / "run_1")  # an older run

    def fail_for_one(path, target):
        if Path(path).name == stuck:
            raise PermissionError(13, "in use", str(path))
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises(PermissionError, match=stuck):
        patch.setattr(os, "rename", fail_for_one)
        run(1, npz, folder)
    assert contents(folder) | contents(folder / "run_2") == before
    run(1, npz, folder)
    assert contents(folder / "run_2") == before


@pytest.mark.parametrize("bad", [(float("nan"), 0.5), (0.75, float("inf"))])
def test_a_loss_that_is_not_finite_stops_the_run(command, monkeypatch, still, tmp_path, npz, bad):
    losses = iter([(0.75, 0.5)] * 5 + [bad])  # four steps an epoch
    monkeypatch.setattr(mnist_gan, "get_train_step", lambda *_: lambda *_: next(losses))
    code, _, err = command("--data", npz, "--batch-size", 64, "--output-dir", tmp_path)
    last = err.splitlines()[-1]
    assert code == 1 and "Traceback" not in err and "try another seed" in last
    assert f"error: epoch 2/40, step 2: d_loss {bad[0]}, g_loss {bad[1]}" in last
    assert len(read_losses(tmp_path)) == 1 and "checkpoint.npz" in contents(tmp_path)


def test_a_full_disk(stopped, command, npz):
    """Played by a limit on the size of files, which the next checkpoint exceeds."""
    resource = pytest.importorskip("resource")  # not on Windows
    path, before = stopped[0] / "checkpoint.npz", stopped[1]["checkpoint.npz"]
    options = ["--data", npz, "--batch-size", 16, "--seed", 3, "--output-dir", stopped[0]]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
    try:
        code, _, err = command(*options, "--epochs", 3, "--resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1 and "Traceback" not in err
    assert f"{path} could not be written: File too large" in err.splitlines()[-1]
    assert path.read_bytes() == before and not path.with_name("part-checkpoint.npz").exists()
    assert command(*options, "--epochs", 3, "--resume")[0] == 0
    assert len(read_losses(stopped[0])) == 3
