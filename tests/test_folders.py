"""Each run has a folder of its own, and nothing of an earlier run is moved or overwritten."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import contents


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
        if self.name == "run_1" and not self.exists():
            mkdir(self, *arguments, **options)
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir_after_another_run)
    train(1, None)
    assert not contents("outputs/run_1") and "checkpoint.npz" in contents("outputs/run_2")


def test_other_files_stay_and_a_new_run_is_refused_where_one_is_already(train):
    Path("out").mkdir()
    Path("out/part-1-mine.csv").write_text("mine")
    train(1, "out")
    before = contents("out")
    assert before["part-1-mine.csv"] == b"mine"
    with pytest.raises(ValueError, match=r"out holds a run.*--resume.*resume=True"):
        train(1, "out")
    assert contents("out") == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_wrong_folder_is_found_before_the_data_are_loaded(small, train, npz, resume):
    small.load_mnist_data = None
    with pytest.raises((ValueError, OSError), match="npz"):
        train(1, npz, resume=resume)


def test_run_json_says_what_was_trained(train, small, npz, monkeypatch, tmp_path):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    train(np.int64(1), "~/out", limit=np.int64(100))
    about = json.loads(Path("out/run.json").read_text())
    expected = {"epochs": 1, "batch_size": 100, "data": str(npz), "limit": 100, "seed": 3}
    assert about["arguments"] == expected | {"sample_every": 2}
    images = small.load_mnist_data(npz)[0][:100]
    assert about["images"] == hashlib.sha256(images.tobytes()).hexdigest()
    assert (about["random_dim"], about["optimizers"]) == (100, "Adam")
    assert about["generator"] == "Dense 8, LeakyReLU, " * 3 + "Dense 784"
    assert about["discriminator"] == "Dense 8, LeakyReLU, Dropout, " * 3 + "Dense 1"
    assert about["versions"].keys() >= {"keras", "tensorflow", "numpy"}


OLD = {"arguments": {"epochs": 2, "batch_size": 16, "seed": 3}, "data": "MNIST", "sha256": "e139"}


@pytest.mark.parametrize("text", [json.dumps(OLD), "[1, 2]", '{"arguments": ', ""])
def test_a_folder_of_an_earlier_version_or_a_damaged_one_is_refused(train, text):
    Path("run.json").write_text(text)
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"holds a run|run\.json"):
            train(2, ".", resume=resume)
    assert Path("run.json").read_text() == text
