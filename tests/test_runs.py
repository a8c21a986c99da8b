"""Each run has a folder of its own, and nothing is lost of one that is stopped or killed."""

import errno
import hashlib
import json
import os
import shutil
import signal
import time
from pathlib import Path
from unittest import mock

import keras
import matplotlib.figure
import numpy as np
import pytest
from helpers import SCRIPT, contents, results, run_command, start_command, write_npz
from keras.optimizers import SGD, Adam
from PIL import Image


def test_runs_are_numbered_and_resume_and_generate_take_the_highest(train, command):
    train(1, None)
    first = contents("outputs/run_1")
    Path("outputs/run_8").mkdir()
    Path("outputs/run_notes").mkdir()
    train(1, None, seed=4)
    train(2, None, seed=4, resume=True)
    assert len(Path("outputs/run_9/gan_loss.csv").read_text().splitlines()) == 3
    assert command("--generate")[1] == "saved outputs/run_9/gan_generated_image_seed_10.png\n"
    assert contents("outputs/run_1") == first and len(list(Path("outputs").iterdir())) == 4


def test_of_two_runs_started_at_the_same_moment_each_gets_a_folder(train, monkeypatch):
    mkdir = Path.mkdir

    def mkdir_after_another_run(self, *arguments, **options):
        if self.name == "run_1":
            mkdir(self, *arguments, **options)
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir_after_another_run)
    train(1, None)
    assert not contents("outputs/run_1") and "checkpoint.npz" in contents("outputs/run_2")


@pytest.mark.parametrize("resume", [False, True])
def test_a_wrong_folder_is_found_before_the_data_are_loaded(small, train, npz, resume):
    small.load_mnist_data = None
    with pytest.raises((ValueError, OSError), match="npz"):
        train(1, npz, resume=resume)


def test_run_json_says_what_was_trained(train, small, npz, monkeypatch, tmp_path):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    train(np.int64(1), "~/out", limit=np.int64(150))
    about = json.loads(Path("out/run.json").read_text())
    expected = {"epochs": 1, "batch_size": 150, "data": str(npz), "limit": 150, "seed": 3}
    assert about.pop("arguments") == expected | {"sample_every": 2}
    assert about.pop("versions").keys() >= {"keras", "tensorflow", "numpy"}
    images = small.load_mnist_data(npz)[0][:150]
    expected = {"images": hashlib.sha256(images.tobytes()).hexdigest(), "random_dim": 100}
    expected |= {"generator": "Dense 8, LeakyReLU, " * 3 + "Dense 784", "optimizers": "Adam"}
    assert about == expected | {"discriminator": "Dense 8, LeakyReLU, Dropout, " * 3 + "Dense 1"}


OLD = {"arguments": {"epochs": 2, "batch_size": 16, "seed": 3}, "data": "MNIST", "sha256": "e139"}


@pytest.mark.parametrize("text", [json.dumps(OLD), "[1, 2]", '{"arguments": ', ""])
def test_a_folder_of_an_earlier_version_or_a_damaged_one_is_refused(train, text):
    Path("run.json").write_text(text)
    for resume, said in ((False, "holds a run.*--resume.*resume=True"), (True, r"run\.json")):
        with pytest.raises(ValueError, match=said):
            train(2, ".", resume=resume)
    assert contents(".", "json") == {"run.json": text.encode()}


@pytest.fixture
def stopped(train, tmp_path_factory):
    """Put two trained epochs, the same each time, in the folder "out"; return its files."""
    once = tmp_path_factory.getbasetemp() / "stopped"
    if not once.exists():
        train(2, once)
    shutil.copytree(once, "out")
    return contents("out")


def test_two_epochs_and_two_more_are_four(train):
    losses = train(4, "whole")
    train(2, "parts")
    np.random.seed(99)  # what else happens in between does not matter
    Path("parts/script.py").write_text("an older version")
    resumed = train(4, "parts", resume=True)
    assert all(np.array_equal(losses[name], resumed[name]) for name in ("d_loss", "g_loss"))
    assert results("whole") == results("parts")
    assert contents("parts")["script.py"] == SCRIPT.read_bytes()


def test_the_same_seed_gives_the_same_bytes_and_another_others(train):
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        train(1, name, seed=seed)
    assert results("one") == results("same")
    assert all(a != b for a, b in zip(results("one"), results("other")))


@pytest.mark.parametrize("own", [lambda: Adam(0.0004, 0.5), lambda: SGD(0.01, momentum=0.9)])
def test_optimizers_of_the_networks_own_continue_exactly(small, train, own):
    get_discriminator = small.get_discriminator
    small.get_discriminator = lambda _: get_discriminator(own())
    train(2, "whole")
    for epochs in (1, 2):
        train(epochs, "parts", resume=epochs > 1)
    assert results("whole") == results("parts")


def test_rates_and_slopes_come_from_the_code(small, train, stopped):
    small.LeakyReLU = lambda slope: keras.layers.LeakyReLU(slope / 2)
    small.get_optimizer = lambda: Adam(0.0, beta_1=0.5)
    weights = results("out")[0]
    train(3, "out", resume=True)
    assert results("out")[0] == weights


def test_nothing_left_to_train_draws_curves_and_gif_anew(train, stopped, capsys):
    for name in ("gan_loss.png", "gan_training.gif"):
        Path("out", name).unlink()
    assert train(1, "out", resume=True)["d_loss"].shape == (2 * 2,)
    assert "epochs done: 2, to go: 0" in capsys.readouterr().out
    assert contents("out", (".png", ".gif", ".json")).items() <= stopped.items()
    assert contents("out").keys() == stopped.keys()


KILL_IN_THE_SECOND_CHECKPOINT = """
import os, runpy, sys, numpy as np
savez, calls = np.savez, []
def savez_killed(file, **arrays):
    savez(file, **arrays)
    calls.append(os.truncate(file, 9) if calls else file)
    if len(calls) == 2: os.kill(os.getpid(), 9)
np.savez = savez_killed
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start_until(epoch, *options):
    """Start the command and return it once its bar shows a loss of this epoch."""
    process = start_command(*options)
    for text in (f"Epoch {epoch}: ", "g_loss"):
        shown = ""
        while text not in shown:
            shown += process.stderr.read(1) or pytest.fail(f"it ended: {shown}")
    return process


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_killed_anywhere_and_resumed_by_the_real_command(whole):
    folder, options, _ = whole
    process = start_until(1, *options)
    process.kill()
    process.communicate()
    assert "checkpoint.npz" not in contents("outputs/run_1")
    Path("kill.py").write_text(KILL_IN_THE_SECOND_CHECKPOINT)
    code, out, err = run_command(SCRIPT, "--resume", script="kill.py")
    assert code == -signal.SIGKILL and "epoch 1/2: " in out and "epoch 2/2: " not in out, err
    code, out, err = run_command("--resume")
    assert code == 0 and out.startswith("outputs/run_1: epochs done: 1, to go: 1"), err
    assert results("outputs/run_1") == results(folder)
    assert contents("outputs/run_1").keys() == contents(folder).keys()  # no part-file is left


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_even_twice_ends_in_a_line_that_says_how_to_go_on(whole):
    process = start_until(2, *whole[1][2:], "--output-dir", "my run")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    out, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err and "to go: 40\n" in out
    line = "mnist_gan.py: interrupted; to continue: python mnist_gan.py --resume --output-dir"
    assert err.endswith(f'{line} "my run"\n')
    assert "checkpoint.npz" in contents("my run")


REFUSALS = [
    ("batch_size", 10, "batch_size was 150, now 10"),
    ("limit", 200, "limit was None, now 200$"),
    ("seed", 4, "seed was 3, now 4"),
    ("data", "other.npz", "data other.npz now gives other images.*--data.*data="),
    ("random_dim", 2, "random_dim was 100, now 2"),
    ("get_optimizer", SGD, "optimizers was Adam, now SGD"),
    ("LeakyReLU", lambda slope: keras.layers.ReLU(), "generator was .*LeakyReLU.*now .* ReLU"),
]


@pytest.mark.parametrize("name, value, message", REFUSALS)
def test_a_run_that_does_not_fit_is_refused_and_left_as_it_is(
    small, train, stopped, name, value, message
):
    write_npz("other.npz", seed=2)
    arguments = {} if hasattr(small, name) else {name: value}
    setattr(small, name, value)
    with pytest.raises(ValueError, match=message):
        train(3, "out", resume=True, **arguments)
    assert contents("out") == stopped


def test_a_damaged_checkpoint_is_named(train, stopped):
    for content in (stopped["checkpoint.npz"][:-1000], contents(".")["data.npz"]):
        Path("out", "checkpoint.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint\.npz"):
            train(3, "out", resume=True)


def test_a_loss_that_is_not_finite_stops_the_run_before_anything_is_saved(small, train, stopped):
    get_gan_network = small.get_gan_network

    def get_broken_gan_network(*arguments):
        gan = get_gan_network(*arguments)
        gan.train_on_batch = mock.Mock(side_effect=[0.7, float("nan")])
        return gan

    small.get_gan_network = get_broken_gan_network
    with pytest.raises(FloatingPointError, match="epoch 3, step 2: "):
        train(3, "out", resume=True)
    assert contents("out") | {"run.json": stopped["run.json"]} == stopped


WRITERS = [(np, "savez"), (np, "savetxt"), (matplotlib.figure.Figure, "savefig")]
WRITERS += [(Image.Image, "save"), (keras.Model, "save"), (os, "replace")]


@pytest.mark.parametrize("owner, name", WRITERS)
def test_a_full_disk_names_the_file_and_the_last_checkpoint_stays(train, stopped, owner, name):
    full = OSError(errno.ENOSPC, "No space left on device")
    failing = mock.patch.object(owner, name, side_effect=full)
    with failing, pytest.raises(OSError, match="out/.*No space left"):
        train(3, "out", resume=True)
    assert contents("out")["checkpoint.npz"] == stopped["checkpoint.npz"]
    assert not [file for file in contents("out") if "_part_" in file]
