"""Nothing lost: exact continuation, kills, signals, full disks, losses that are not finite."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import SCRIPT, run_python, run_script

import mnist_gan

PICTURES = ["gan_generated_image_epoch_1.png", "gan_generated_image_epoch_2.png"]
PICTURES += ["gan_generated_image_epoch_4.png", "gan_loss.png", "gan_training.gif"]


def run(epochs, path, folder, **changes):
    arguments = {"seed": 3, "sample_every": 2, "output_dir": folder} | changes
    return mnist_gan.train(epochs, arguments.pop("batch_size", 64), data=path, **arguments)


def checkpoint(folder):
    with np.load(folder / "checkpoint.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if name != "about"}


def check_equal_runs(folder, other):
    """Compare weights, optimizer, random state, history and pictures to the byte."""
    expected, got = checkpoint(folder), checkpoint(other)
    assert list(expected) == list(got)
    for name in expected:
        assert np.array_equal(expected[name], got[name]), name
    for name in PICTURES:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    rows = [
        [line.rsplit(",", 1)[0] for line in (f / "gan_loss.csv").read_text().splitlines()]
        for f in (folder, other)
    ]
    assert len(rows[0]) == 5 and rows[0] == rows[1]
    states = [run_state(f) for f in (folder, other)]
    assert states[0] == states[1]


def run_state(folder):
    with np.load(folder / "checkpoint.npz", allow_pickle=False) as archive:
        about = json.loads(str(archive["about"]))
    return about["epoch"], about["random_state"], about["data_sha256"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Train four epochs in one go; return (data file, folder, losses)."""
    folder = tmp_path_factory.mktemp("whole")
    random = np.random.RandomState(1)
    x = random.randint(0, 256, (200, 28, 28), np.uint8)
    y = random.randint(0, 10, 200)
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    losses = run(4, folder / "data.npz", folder / "out")
    return folder / "data.npz", folder / "out", losses


def test_resume_continues_exactly(whole, tmp_path, capsys):
    path, folder, losses = whole
    run(2, path, tmp_path)
    np.random.seed(99)  # what else happens in between is of no matter
    resumed = run(4, path, tmp_path, resume=True)
    check_equal_runs(folder, tmp_path)
    for name in losses:
        assert np.array_equal(losses[name], resumed[name]) and len(losses[name]) == 12

    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    again = run(4, path, tmp_path, resume=True)
    assert "4 epochs are done" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert np.array_equal(again["d_loss"], losses["d_loss"])


# Each kills the process without warning at the n-th call of something, or at the first call for a
# file of some name: before it, after it, or after it has written half of the file.
KILLS = {
    "in the middle of an epoch": ("mnist_gan.Run.record", 5, "before"),
    "in the middle of writing a checkpoint": ("numpy.savez", 1, "half"),
    "after the checkpoint has taken its place": ("os.replace", "checkpoint.npz", "after"),
    "in the middle of writing a picture": ("matplotlib.figure.Figure.savefig", 1, "half"),
}
KILLER = """
import os, signal, sys, mnist_gan, numpy, matplotlib.figure
owner, name = {target!r}.rsplit(".", 1)
owner = eval(owner)
original = getattr(owner, name)
calls = 0

def call(*arguments, **keywords):
    global calls
    when = {when!r}
    if isinstance(when, str):  # the first call for a file of this name
        due = str(arguments[-1]).endswith(when)
    else:
        calls += 1
        due = calls == when
    if due and {moment!r} == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = original(*arguments, **keywords)
    if due:
        if {moment!r} == "half":
            file = next(a for a in arguments if isinstance(a, os.PathLike))
            os.truncate(file, os.path.getsize(file) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, name, call)
mnist_gan.xla_works = lambda: False  # saves time only
mnist_gan.train(4, 64, **{arguments!r})
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_killed_at_any_moment_and_resumed(monkeypatch, whole, tmp_path):
    monkeypatch.setattr(mnist_gan, "xla_works", lambda: False)
    path, folder = whole[0], tmp_path / "killed"
    for kill, (target, when, moment) in KILLS.items():
        resume = (folder / "checkpoint.npz").exists()
        arguments = {"data": str(path), "seed": 3, "sample_every": 2}
        arguments |= {"output_dir": str(folder), "resume": resume}
        code = KILLER.format(target=target, when=when, moment=moment, arguments=arguments)
        done = run_python(code, cwd=tmp_path)
        assert done.returncode == -signal.SIGKILL, (kill, done.stderr)
        left = [path.name for path in folder.iterdir() if path.name.startswith("part-")]
        assert bool(left) == (moment in ("half", "before") and not target.endswith("record"))
    run(4, path, folder, resume=True)
    run(4, path, tmp_path / "whole")
    check_equal_runs(tmp_path / "whole", folder)


def start(folder, path, *arguments):
    line = [sys.executable, str(SCRIPT), "--data", str(path), "--batch-size", "64"]
    line += ["--epochs", "2000", "--output-dir", str(folder), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(line, **pipes)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interruption(command, whole, tmp_path):
    process = start(tmp_path, whole[0])
    assert process.stdout.readline().startswith("epoch 1/2000")
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 10  # a second or so; this machine may be busy
    assert process.returncode == 130
    last = err.splitlines()[-1]
    assert last.startswith("mnist_gan.py: interrupted; continue with: ")
    assert "Traceback" not in err
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("part-")]

    line = shlex.split(last.partition("continue with: ")[2])
    assert line[:2] == [sys.executable, str(SCRIPT)] and line[-1] == "--resume"
    line[line.index("2000")] = "1"  # whatever is done is enough
    code, out, _ = command(*line[2:])
    assert code == 0 and "epochs are done" in out


def test_interruption_while_tensorflow_loads(tmp_path):
    (tmp_path / "keras.py").write_text("import signal; signal.raise_signal(signal.SIGINT)")
    done = run_script(cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "mnist_gan.py: interrupted before anything began\n"


@pytest.mark.parametrize("moment", ["load_mnist_data", "get_generator", "train_on_batch"])
def test_interruption_before_the_first_epoch(
    command, monkeypatch, small_networks, tmp_path, whole, moment
):
    original = getattr(mnist_gan, moment)

    def interrupt(*arguments):
        signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(mnist_gan, moment, interrupt)
    for _ in range(2):  # the second finds nothing that is worth moving aside
        code, out, err = command("--data", whole[0], "--output-dir", tmp_path)
        assert code == 130 and "earlier run" not in out
    assert "start again, since no epoch is saved yet, with: " in err and "--resume" not in err


def test_interruption_while_an_earlier_run_is_still_there(
    command, monkeypatch, small_networks, stopped, whole
):
    """The advice must not be to resume a run that is not this one."""
    folder, untouched = stopped
    monkeypatch.setattr(
        mnist_gan, "load_mnist_data", lambda data: signal.raise_signal(signal.SIGINT)
    )
    code, _, err = command("--data", whole[0], "--output-dir", folder)
    assert code == 130 and "start again, " in err and "--resume" not in err
    assert untouched()


def test_interruption_during_saving_ends_after_the_next_step(
    command, monkeypatch, small_networks, tmp_path, whole
):
    write = mnist_gan.Run.write_checkpoint

    def interrupt(self):
        signal.raise_signal(signal.SIGTERM)
        write(self)

    monkeypatch.setattr(mnist_gan.Run, "write_checkpoint", interrupt)
    before = signal.getsignal(signal.SIGTERM)
    code, out, err = command("--data", whole[0], "--output-dir", tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before
    assert code == 143 and out.count("epoch") == 1 and "continue with: " in err
    assert run_state(tmp_path)[0] == 1


def test_interruption_brings_curves_and_gif_up_to_date(
    command, monkeypatch, small_networks, tmp_path, whole
):
    note = mnist_gan.Run.note

    def interrupt(self, bar, step, *losses):
        note(self, bar, step, *losses)
        if (self.epoch + 1, step) == (4, 1):
            signal.raise_signal(signal.SIGINT)

    arguments = ["--data", whole[0], "--batch-size", 64, "--output-dir", tmp_path]
    command(*arguments, "--epochs", 3)
    expected = {name: (tmp_path / name).read_bytes() for name in PICTURES[3:]}
    monkeypatch.setattr(mnist_gan.Run, "note", interrupt)
    code, _, _ = command(*arguments)
    assert code == 130 and run_state(tmp_path)[0] == 3
    for name in expected:
        assert (tmp_path / name).read_bytes() == expected[name], name


REFUSED = {
    "another batch size": ({"batch_size": 32}, "batch_size was 64, now 32"),
    "another seed": ({"seed": 4}, "seed was 3, now 4"),
    "a limit": ({"limit": 100}, "limit was None, now 100"),
    "both": ({"seed": 4, "batch_size": 32}, "batch_size was 64, now 32; seed was 3, now 4"),
}


@pytest.fixture
def stopped(whole, tmp_path):
    """Return a copy of the finished run, and a function that tells whether it is untouched."""
    folder = tmp_path / "out"
    shutil.copytree(whole[1], folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    return folder, lambda: {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize("case", REFUSED)
def test_resume_with_other_arguments_is_refused(whole, stopped, case):
    changes, message = REFUSED[case]
    folder, untouched = stopped
    with pytest.raises(ValueError, match=f"checkpoint.npz is of another run: {message}$"):
        run(6, whole[0], folder, resume=True, **changes)
    assert untouched()


def test_resume_with_other_data_is_refused(whole, stopped, tmp_path):
    folder, untouched = stopped
    with np.load(whole[0]) as archive:
        arrays = dict(archive)
    arrays["x_train"][-1, -1, -1] ^= 1  # the smallest possible difference
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ValueError, match="data was .*data.npz.*other.npz' with other images"):
        run(6, tmp_path / "other.npz", folder, resume=True)
    assert untouched()


def test_resume_with_other_layers_is_refused(whole, stopped, monkeypatch):
    folder, untouched = stopped
    get_generator = mnist_gan.get_generator

    def get_other_generator(optimizer):
        generator = get_generator(optimizer)
        generator.pop()
        generator.add(mnist_gan.Dense(500))
        generator.add(mnist_gan.Dense(784, activation="tanh"))
        generator.compile(loss="binary_crossentropy", optimizer=optimizer)
        return generator

    monkeypatch.setattr(mnist_gan, "get_generator", get_other_generator)
    with pytest.raises(ValueError, match="checkpoint.npz is of networks with other layers"):
        run(6, whole[0], folder, resume=True)
    assert untouched()


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.9999])
def test_a_truncated_checkpoint_is_refused(command, whole, stopped, keep):
    folder, _ = stopped
    path = folder / "checkpoint.npz"
    size = path.stat().st_size
    os.truncate(path, int(keep * size) if keep < 1 else keep)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    code, _, err = command(
        *("--resume", "--data", whole[0], "--batch-size", 64, "--seed", 3, "--output-dir", folder)
    )
    assert code == 2 and err.count("\n") == 1
    assert f"error: {path} is not a whole checkpoint" in err
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_foreign_checkpoint_is_refused(whole, stopped):
    folder, _ = stopped
    no_seed = {"settings": {"batch_size": 64, "limit": None}, "data_sha256": "0"}
    no_data = {"settings": no_seed["settings"] | {"seed": 3}, "data_sha256": "0"}
    no_data |= {"epoch": 4, "random_state": {}, "seconds": []}
    for arrays in (
        *({"x": np.zeros(3)}, {"about": "{}"}, {"about": "rubbish"}),
        {"about": json.dumps(no_seed)},
        {"about": json.dumps(no_data), "d_loss": [], "g_loss": []},
    ):
        np.savez(folder / "checkpoint.npz", **arrays)
        with pytest.raises(ValueError, match="is not a whole checkpoint"):
            run(6, whole[0], folder, resume=True)


def test_a_missing_checkpoint_is_refused(command, whole, tmp_path):
    code, _, err = command("--resume", "--data", whole[0], "--output-dir", tmp_path / "none")
    assert code == 2 and "checkpoint.npz: no checkpoint; " in err
    assert not (tmp_path / "none").exists()


def test_a_new_run_moves_the_earlier_one_aside(whole, stopped, small_networks, capsys):
    folder, _ = stopped
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    kept = {"notes.txt": b"mine", "gan_generated_image_epoch_best.png": b"mine too"}
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    for number in (1, 2):
        run(1, whole[0], folder)
        assert f"its files are now in {folder / f'run_{number}'}" in capsys.readouterr().out
    first = {path.name: path.read_bytes() for path in (folder / "run_1").iterdir()}
    assert first == before
    for name, content in kept.items():
        assert (folder / name).read_bytes() == content
    assert len(list((folder / "run_2").iterdir())) == 7


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(
    command, monkeypatch, small_networks, tmp_path, whole, value
):
    record, calls = mnist_gan.Run.record, []

    def poisoned(self, bar, d_loss, g_loss):
        calls.append(1)  # three steps an epoch: the fifth is the second of epoch 2
        record(self, bar, d_loss, value if len(calls) == 5 else g_loss)

    monkeypatch.setattr(mnist_gan.Run, "record", poisoned)
    code, out, err = command("--data", whole[0], "--batch-size", 64, "--output-dir", tmp_path)
    assert code == 1
    assert "mnist_gan.py: error: epoch 2, step 2: " in err and str(value) in err
    assert "Traceback" not in err
    assert run_state(tmp_path)[0] == 1


@pytest.mark.skipif(os.name == "nt", reason="limits and mounts of POSIX")
def test_a_full_disk(command, monkeypatch, tmp_path, whole):
    """On a small disk of its own where one may be mounted, else by a limit on the size of files."""
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(mnist_gan, "xla_works", lambda: False)  # saves time only
    folder = tmp_path / "disk"
    folder.mkdir()
    arguments = ["--data", whole[0], "--batch-size", 64, "--output-dir", folder]
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        assert command(*arguments, "--epochs", 1)[0] == 0
        before = (folder / "checkpoint.npz").read_bytes()
        if not mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, limits[1]))
        code, _, err = command(*arguments, "--epochs", 2, "--resume")
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        cause = "No space left on device" if mounted else "File too large"
        last = err.splitlines()[-1]
        assert code == 1 and f"{folder / 'checkpoint.npz'} could not be written: {cause}" in last
        assert "continue with: " in last and "Traceback" not in err
        assert (folder / "checkpoint.npz").read_bytes() == before
        assert not (folder / "part-checkpoint.npz").exists()
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=200m", str(folder)], check=True)
        assert command(*arguments, "--epochs", 2, "--resume")[0] == 0
        assert run_state(folder)[0] == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_is_gone(command, monkeypatch, small_networks, tmp_path, whole):
    folder = tmp_path / "out"
    record = mnist_gan.Run.record

    def record_and_remove(self, *arguments):
        record(self, *arguments)
        shutil.rmtree(folder, ignore_errors=True)

    monkeypatch.setattr(mnist_gan.Run, "record", record_and_remove)
    code, _, err = command("--data", whole[0], "--batch-size", 64, "--output-dir", folder)
    last = err.splitlines()[-1]
    assert code == 1 and f"{folder / 'run.json'} is gone" in last and "Traceback" not in err
    assert not folder.exists()


def test_a_folder_that_another_run_takes(command, monkeypatch, small_networks, tmp_path, whole):
    note = mnist_gan.Run.note

    def note_and_start_another(self, *arguments):
        note(self, *arguments)
        if len(self.losses["d_loss"]) == 4:
            monkeypatch.setattr(mnist_gan.Run, "note", note)
            mnist_gan.train(1, 64, data=whole[0], output_dir=tmp_path)
            mnist_gan.Run.current = self

    monkeypatch.setattr(mnist_gan.Run, "note", note_and_start_another)
    arguments = ["--data", whole[0], "--batch-size", 64, "--output-dir", tmp_path]
    code, _, err = command(*arguments, "--sample-every", 1)
    assert code == 1 and "of another run" in err.splitlines()[-1]
    assert run_state(tmp_path)[0] == run_state(tmp_path / "run_1")[0] == 1
    assert not (tmp_path / "gan_generated_image_epoch_2.png").exists()


def test_a_run_is_moved_aside_as_a_whole_or_not_at_all(whole, stopped, monkeypatch):
    folder, untouched = stopped
    rename = Path.rename

    def fail_for_one(path, target):
        if path == folder / "gan_loss.csv":
            raise PermissionError(13, "in use", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_one)
    with pytest.raises(PermissionError, match="gan_loss.csv"):
        run(1, whole[0], folder)
    assert untouched()


def test_resume_takes_the_learning_rate_from_the_code(whole, small_networks, monkeypatch, tmp_path):
    run(1, whole[0], tmp_path)
    before = checkpoint(tmp_path)["variable_0"]
    monkeypatch.setattr(mnist_gan, "get_optimizer", lambda: mnist_gan.Adam(0.0, beta_1=0.5))
    run(2, whole[0], tmp_path, resume=True)
    assert np.array_equal(checkpoint(tmp_path)["variable_0"], before)


MEMORY = """
import mnist_gan, pathlib
save = mnist_gan.Run.save

def save_and_measure(self):
    save(self)
    print("resident", pathlib.Path("/proc/self/statm").read_text().split()[1])

mnist_gan.Run.save = save_and_measure
mnist_gan.train(30, 64, data={data!r}, sample_every=3)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow(tmp_path, whole):
    """In a process of its own, since other tests leave the heap full of holes."""
    out = run_python(MEMORY.format(data=str(whole[0])), cwd=tmp_path).stdout
    pages = [int(line.split()[1]) for line in out.splitlines() if line.startswith("resident")]
    print(f"pages after epoch 5: {pages[4]}, after epoch 30: {pages[29]}")
    assert pages[29] < 1.02 * pages[4]
