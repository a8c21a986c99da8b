"""Each run has a folder of its own, and nothing of an earlier run is moved or overwritten."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import SCRIPT, contents

import mnist_gan


def test_runs_are_numbered_and_leave_each_other_alone(train):
    train(1, None)
    first = contents("outputs/run_1")
    train(1, None, seed=4)
    Path("outputs", "run_9").mkdir()
    Path("outputs", "run_notes").mkdir()
    train(1, None, seed=5)
    runs = sorted(path.name for path in Path("outputs").iterdir() if any(path.iterdir()))
    assert runs == ["run_1", "run_10", "run_2"]
    assert contents("outputs/run_1") == first


def test_resume_and_generate_take_the_highest_number(train, command):
    train(1, None)
    train(1, None, seed=4)
    before = contents("outputs/run_1")
    train(2, None, seed=4, resume=True)
    assert contents("outputs/run_1") == before
    assert len(Path("outputs", "run_2", "gan_loss.csv").read_text().splitlines()) == 3
    code, out, _ = command("--generate", "--seed", 5)
    assert (code, out) == (0, "saved outputs/run_2/gan_generated_image_seed_5.png\n")
    assert Path("outputs", "run_2", "gan_generated_image_seed_5.png").exists()


def test_of_two_runs_started_at_the_same_moment_each_gets_a_folder(train, monkeypatch):
    mkdir = Path.mkdir

    def mkdir_after_another_run(self, *arguments, **options):
        if self.name == "run_1" and not self.exists():
            mkdir(self, *arguments, **options)
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir_after_another_run)
    train(1, None)
    assert not any(Path("outputs", "run_1").iterdir())
    assert Path("outputs", "run_2", "checkpoint.npz").exists()


def test_a_new_run_is_refused_where_one_is_already(train, tmp_path):
    train(1, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(ValueError, match=r"out holds a run.*--resume.*resume=True"):
        train(1, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_a_folder_with_other_files_is_used_and_they_stay(train, tmp_path):
    (tmp_path / "part-00000.csv").write_text("mine")
    train(1, tmp_path)
    assert (tmp_path / "part-00000.csv").read_text() == "mine"


def test_a_tilde_is_the_home_folder(train, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    train(1, "~/gan")
    assert (tmp_path / "home" / "gan" / "run.json").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_wrong_folder_is_found_before_the_data_are_loaded(small, train, tmp_path, resume):
    def load_mnist_data(data):
        raise AssertionError("the data were loaded first")

    small.load_mnist_data = load_mnist_data
    (tmp_path / "file").touch()
    with pytest.raises((ValueError, OSError), match="file"):
        train(1, tmp_path / "file", resume=resume)


def test_run_json_says_what_was_trained(train, small, tmp_path, npz):
    train(np.int64(1), tmp_path / "out", limit=np.int64(64))
    about = json.loads((tmp_path / "out" / "run.json").read_text())
    expected = {"epochs": 1, "batch_size": 16, "data": str(npz), "limit": 64, "seed": 3}
    assert about["arguments"] == expected | {"sample_every": 2}
    images = small.load_mnist_data(npz)[0][:64]
    assert about["images"] == hashlib.sha256(images.tobytes()).hexdigest()
    assert about["random_dim"] == mnist_gan.random_dim == 100
    assert (
        about["generator"].startswith("Dense 8, LeakyReLU, ") and "Dense 784" in about["generator"]
    )
    assert about["discriminator"].endswith("Dropout, Dense 1") and about["optimizers"] == "Adam"
    assert about["versions"].keys() >= {"keras", "tensorflow", "numpy"}


def test_the_script_is_copied_as_it_was_when_the_run_was_started(train, tmp_path):
    train(1, tmp_path / "out")
    copy = tmp_path / "out" / "script.py"
    assert copy.read_bytes() == SCRIPT.read_bytes()
    copy.write_text("an older version")
    with pytest.raises(ValueError):
        train(2, tmp_path / "out", seed=4, resume=True)
    assert copy.read_text() == "an older version"  # a refused run changes nothing
    train(2, tmp_path / "out", resume=True)
    assert copy.read_bytes() == SCRIPT.read_bytes()


OLD = {"arguments": {"epochs": 2, "batch_size": 16, "seed": 3}, "data": "MNIST", "sha256": "e139"}


@pytest.mark.parametrize("text", [json.dumps(OLD), "[1, 2]", '{"arguments": ', ""])
def test_a_folder_of_an_earlier_version_or_a_damaged_one_is_refused(train, tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    for resume in (False, True):
        with pytest.raises(ValueError, match=tmp_path.name):
            train(2, tmp_path, resume=resume)
    assert (tmp_path / "run.json").read_text() == text


def test_there_is_nothing_to_resume(train, tmp_path):
    for folder in (None, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="outputs|nowhere"):
            train(1, folder, resume=True)
    assert not Path("outputs").exists() and not (tmp_path / "nowhere").exists()
