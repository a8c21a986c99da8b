"""Nothing is lost: a run that was stopped or killed goes on as if it had never stopped."""

import errno
import os
import re
import signal
import time
from pathlib import Path

import keras
import matplotlib.figure
import numpy as np
import pytest
from helpers import (
    SCRIPT,
    check_same_results,
    contents,
    run_command,
    saved_weights,
    start_command,
    write_npz,
)
from keras.optimizers import SGD, Adam
from PIL import Image


@pytest.fixture
def stopped(train, tmp_path):
    """Train two epochs; return the folder, and the contents of its files."""
    train(2, tmp_path / "out")
    return tmp_path / "out", contents(tmp_path / "out")


def test_two_epochs_and_two_more_are_four(train, tmp_path):
    losses = train(4, tmp_path / "whole")
    train(2, tmp_path / "parts")
    np.random.seed(99)  # what else happens in between does not matter
    resumed = train(4, tmp_path / "parts", resume=True)
    assert all(np.array_equal(losses[name], resumed[name]) for name in ("d_loss", "g_loss"))
    check_same_results(tmp_path / "whole", tmp_path / "parts")


def test_the_same_seed_gives_the_same_bytes_and_another_others(train, tmp_path):
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        train(1, tmp_path / name, seed=seed)
    check_same_results(tmp_path / "one", tmp_path / "same")
    assert not np.array_equal(saved_weights(tmp_path / "one"), saved_weights(tmp_path / "other"))


OWN = {
    "an Adam each": lambda: Adam(0.0004, beta_1=0.5),
    "SGD with momentum": lambda: SGD(0.01, momentum=0.9),
}


@pytest.mark.parametrize("own", OWN)
def test_optimizers_of_the_networks_own_continue_exactly(small, train, tmp_path, own):
    get_discriminator = small.get_discriminator
    small.get_discriminator = lambda _: get_discriminator(OWN[own]())
    train(3, tmp_path / "whole")
    for epochs in (1, 2, 3):
        train(epochs, tmp_path / "parts", resume=epochs > 1, sample_every=3)
    check_same_results(tmp_path / "whole", tmp_path / "parts")


def test_the_learning_rate_comes_from_the_code(small, train, tmp_path):
    train(1, tmp_path / "out")
    before = saved_weights(tmp_path / "out")
    small.get_optimizer = lambda: Adam(0.0, beta_1=0.5)
    train(2, tmp_path / "out", resume=True)
    assert np.array_equal(saved_weights(tmp_path / "out"), before)


def test_nothing_left_to_train_draws_curves_and_gif_anew(train, stopped, capsys):
    folder, before = stopped
    for name in ("gan_loss.png", "gan_training.gif"):
        (folder / name).unlink()
    capsys.readouterr()
    losses = train(1, folder, resume=True)
    assert "2 epochs done, 0 to go" in capsys.readouterr().out
    assert losses["d_loss"].shape == (2 * 18,)
    assert contents(folder).keys() == before.keys()
    for name in ("gan_loss.png", "gan_training.gif"):
        assert contents(folder)[name] == before[name]


KILL_IN_A_CHECKPOINT = """
import os, runpy, signal, sys
import numpy as np

savez, calls = np.savez, []

def savez_killed(file, **arrays):
    calls.append(file)
    savez(file, **arrays)
    if len(calls) == 2:
        os.truncate(file, os.path.getsize(file) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

np.savez = savez_killed
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_killed_anywhere_and_resumed_by_the_real_command(whole, tmp_path):
    folder, options, _ = whole
    process = start_command(*options, cwd=tmp_path)
    assert process.stdout.readline().startswith("outputs/run_1: 0 epochs done")
    while "g_loss" not in process.stderr.readline(200):
        pass  # until the bar shows a loss: in the middle of the first epoch
    process.kill()
    process.communicate()
    (tmp_path / "kill.py").write_text(KILL_IN_A_CHECKPOINT)
    code, out, err = run_command(SCRIPT, "--resume", cwd=tmp_path, script="kill.py")
    assert code == -signal.SIGKILL, err
    assert "epoch 1/3: " in out and "epoch 2/3: " not in out
    assert [name for name in contents(tmp_path / "outputs" / "run_1") if "_part_" in name]
    code, out, err = run_command("--resume", cwd=tmp_path)
    assert code == 0 and out.startswith("outputs/run_1: 1 epochs done, 2 to go"), err
    check_same_results(folder, tmp_path / "outputs" / "run_1")
    assert contents(folder).keys() == contents(tmp_path / "outputs" / "run_1").keys()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("times, moment", [(1, "Epoch 1: "), (2, "Epoch 2: ")])
def test_ctrl_c_once_or_twice_leaves_whole_files_and_one_line_on_how_to_go_on(
    whole, tmp_path, times, moment
):
    process = start_command(*whole[1], "--output-dir", "my run", cwd=tmp_path)
    shown = ""
    while moment not in shown or "g_loss" not in shown.split(moment)[-1]:
        shown += process.stderr.read(1)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    out, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err
    last = err.splitlines()[-1].split("\r")[-1].strip()
    assert last.startswith("mnist_gan.py: interrupted; to continue: python mnist_gan.py --resume")
    assert last.endswith('--output-dir "my run"')
    if times == 2:
        with np.load(tmp_path / "my run" / "checkpoint.npz") as file:
            assert len(file["losses"]) == 1


def other_layers(small):
    get_generator = small.get_generator

    def get_other_generator(optimizer):
        layers = get_generator(optimizer).layers
        generator = keras.Sequential([keras.Input((100,)), keras.layers.Dense(9), layers[-1]])
        generator.compile(loss="binary_crossentropy", optimizer=optimizer)
        return generator

    small.get_generator = get_other_generator


def other_optimizers(small):
    get_discriminator = small.get_discriminator
    small.get_discriminator = lambda _: get_discriminator(SGD())


def other_random_dim(small):
    small.random_dim = 2


def other_images(small):
    images = np.random.RandomState(2).randint(0, 256, (300, 28, 28), np.uint8)
    return {"data": write_npz(Path("other.npz"), x_train=images)}


def other_mnist(small):
    with np.load(other_images(small)["data"]) as file:
        digits = (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
    keras.datasets.mnist.load_data = lambda: digits  # the fixture `no_network` puts it back
    return {"data": "auto"}


REFUSALS = {
    "batch size": ({"batch_size": 10}, "batch_size was 16, now 10"),
    "limit": ({"limit": 200}, r"limit was None, now 200$"),
    "seed": ({"seed": 4}, "seed was 3, now 4"),
    "several": ({"seed": 4, "batch_size": 10}, "batch_size.*; seed"),
    "images": (other_images, r"data other\.npz found other images.*--data.*data="),
    "images of auto": (other_mnist, "data auto found other images.*--data.*data="),
    "layers": (other_layers, r"generator was Dense 8, LeakyReLU, .* now Dense 8, Dense 784"),
    "optimizers": (other_optimizers, "optimizers was Adam, now Adam, SGD"),
    "random_dim": (other_random_dim, "random_dim was 100, now 2"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_run_that_does_not_fit_is_refused_and_left_as_it_is(small, train, stopped, refusal):
    folder, before = stopped
    change, message = REFUSALS[refusal]
    changes = change if isinstance(change, dict) else change(small) or {}
    with pytest.raises(ValueError, match=message):
        train(3, folder, resume=True, **changes)
    assert contents(folder) == before


def test_rates_and_slopes_may_change(small, train, stopped):
    small.LeakyReLU = lambda slope: keras.layers.LeakyReLU(slope / 2)
    train(3, stopped[0], resume=True)


@pytest.mark.parametrize("damage", ["truncated", "of another run"])
def test_a_checkpoint_that_is_damaged_is_named(train, stopped, damage):
    folder, before = stopped
    path = folder / "checkpoint.npz"
    if damage == "truncated":
        path.write_bytes(before["checkpoint.npz"][:-1000])
    else:
        np.savez(path, variable_0=np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"checkpoint\.npz"):
        train(3, folder, resume=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    small, train, stopped, monkeypatch
):
    folder, before = stopped
    monkeypatch.setenv("TQDM_DISABLE", "1")
    get_gan_network = small.get_gan_network

    def get_broken_gan_network(*arguments):
        gan = get_gan_network(*arguments)
        losses = iter([0.7] * 4 + [float("nan")] * 14)
        gan.train_on_batch = lambda x, y: next(losses)
        return gan

    small.get_gan_network = get_broken_gan_network
    with pytest.raises(FloatingPointError, match="epoch 3, step 5: "):
        train(3, folder, resume=True)
    for name in before.keys() - {"run.json"}:
        assert contents(folder)[name] == before[name], name


WRITERS = [(np, "savez"), (np, "savetxt"), (matplotlib.figure.Figure, "savefig")]
WRITERS += [(Image.Image, "save"), (keras.Model, "save"), (os, "replace")]


@pytest.mark.parametrize("owner, name", WRITERS)
def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(
    train, stopped, monkeypatch, owner, name
):
    folder, before = stopped

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(OSError, match=r"(gan_|generator|checkpoint|run).*No space left") as error:
        train(3, folder, resume=True)
    assert re.search(re.escape(str(folder)), str(error.value))
    monkeypatch.undo()
    assert contents(folder)["checkpoint.npz"] == before["checkpoint.npz"]
    assert not [name for name in contents(folder) if "_part_" in name]
