"""What training does: learns, alternates, is reproducible, and leaves the files it promises."""

import csv
import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from benchmark import make_networks
from conftest import run_python, run_script
from PIL import Image

import mnist_gan


@pytest.fixture
def networks(monkeypatch):
    """Collect the networks that `train` makes: a list of (generator, discriminator, gan)."""
    made = []
    get_gan_network = mnist_gan.get_gan_network

    def get_and_keep(discriminator, random_dim, generator, optimizer):
        gan = get_gan_network(discriminator, random_dim, generator, optimizer)
        made.append((generator, discriminator, gan))
        return gan

    monkeypatch.setattr(mnist_gan, "get_gan_network", get_and_keep)
    return made


def weights(network):
    return np.concatenate([weight.ravel() for weight in network.get_weights()])


def read_csv(folder):
    with open(folder / "gan_loss.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_it_learns_the_data(networks, monkeypatch, tmp_path):
    digits = mnist_gan.draw_digits(7_200, 1)
    monkeypatch.setattr(mnist_gan, "draw_digits", lambda: digits)
    mnist_gan.train(2, 48, data="drawn", output_dir=tmp_path)
    data = digits[0][0].mean(axis=0).ravel()
    noise = np.random.RandomState(5).normal(0, 1, (500, 100))

    def correlation(generator):
        return np.corrcoef(generator.predict_on_batch(noise).mean(axis=0), data)[0, 1]

    trained = networks[0][0]
    untrained = mnist_gan.get_generator(mnist_gan.get_optimizer())
    print(f"correlation {correlation(trained):.3f}, untrained {correlation(untrained):.3f}")
    assert correlation(trained) > 0.7
    assert abs(correlation(untrained)) < 0.5


def test_the_step_is_compiled_where_it_can_be(monkeypatch):
    compiled = []
    monkeypatch.setattr(
        mnist_gan.tf, "function", lambda *_, jit_compile, **__: compiled.append(jit_compile)
    )
    for works in (True, False):
        monkeypatch.setattr(mnist_gan, "xla_works", lambda works=works: works)
        mnist_gan.get_train_step(*make_networks(), 8)
    assert compiled == [True, False]


@pytest.mark.parametrize("xla", [True, False], ids=["xla", "no xla"])
def test_each_network_changes_in_its_own_step_only(monkeypatch, xla):
    monkeypatch.setattr(mnist_gan, "xla_works", lambda: xla)
    generator, discriminator, gan = make_networks()
    calls = []
    train_on_batch = mnist_gan.train_on_batch

    def step_without(skipped):
        """Return a step in which one of the two trainings does nothing."""

        def train_one(network, x, y):
            calls.append(network)
            return 0.0 if network is skipped else train_on_batch(network, x, y)

        step = mnist_gan.get_train_step(generator, discriminator, gan, 8)
        with monkeypatch.context() as patch:
            patch.setattr(mnist_gan, "train_on_batch", train_one)
            step.get_concrete_function()
        return step

    only_discriminator, only_generator = step_without(gan), step_without(discriminator)
    batch = np.zeros((8, 100)), np.zeros((8, 784)), np.ones((8, 100))
    for _ in range(3):
        for step, changing, resting in (
            (only_discriminator, discriminator, generator),
            (only_generator, generator, discriminator),
        ):
            before = weights(changing), weights(resting)
            step(*batch)
            assert (weights(changing) != before[0]).any()
            assert (weights(resting) == before[1]).all()
    assert calls == [discriminator, gan] * 2  # each step was traced once, in this order


def test_a_tensorflow_without_xla(monkeypatch, tmp_path, npz, capfd):
    """As such a build behaves: compiling raises, and all else works."""
    function = mnist_gan.tf.function

    def function_without_xla(*arguments, jit_compile=None, **options):
        if jit_compile:
            raise mnist_gan.tf.errors.UnimplementedError(None, None, "no XLA on this platform")
        return function(*arguments, **options)

    monkeypatch.setattr(mnist_gan.tf, "function", function_without_xla)
    losses = mnist_gan.train(1, 100, data=npz(), output_dir=tmp_path / "out")
    assert np.isfinite(losses["d_loss"]).all()
    assert "XLA" not in "".join(capfd.readouterr())
    assert json.loads((tmp_path / "out" / "run.json").read_text())["device"]["xla"] is False


@pytest.mark.parametrize("fails_at", [1, 5])
def test_a_mistake_in_the_step_is_told_and_spoils_nothing_else(
    small_networks, monkeypatch, tmp_path, npz, fails_at
):
    train_on_batch = mnist_gan.train_on_batch
    calls = mnist_gan.tf.Variable(0)

    def spoilt(network, x, y):
        calls.assign_add(1)
        mnist_gan.tf.debugging.assert_less(calls, 2 * fails_at, "a mistake of mine")
        return train_on_batch(network, x, y)

    arguments = {"batch_size": 10, "data": npz(), "output_dir": tmp_path}
    with monkeypatch.context() as patch:
        patch.setattr(mnist_gan, "train_on_batch", spoilt)
        with pytest.raises(Exception, match="a mistake of mine"):
            mnist_gan.train(1, **arguments)
    assert np.isfinite(mnist_gan.train(1, **arguments)["g_loss"]).all()


def test_train_equals_the_loop_by_hand_dropout_included(networks, tmp_path, npz):
    path = npz()
    losses = mnist_gan.train(2, 64, data=path, seed=3, output_dir=tmp_path / "out")
    images = mnist_gan.load_mnist_data(path)[0]

    keras.utils.set_random_seed(3)
    generator, discriminator, gan = make_networks()
    by_hand = []
    for _ in range(2 * (len(images) // 64)):
        noise = np.random.normal(0, 1, size=[64, 100])
        image_batch = images[np.random.randint(0, len(images), size=64)]
        x = np.concatenate([image_batch, generator.predict_on_batch(noise)])
        discriminator.trainable = True
        d_loss = discriminator.train_on_batch(x, np.repeat([0.9, 0.0], 64))
        noise = np.random.normal(0, 1, size=[64, 100])
        discriminator.trainable = False
        by_hand.append([d_loss, gan.train_on_batch(noise, np.ones(64))])
    for name, expected in zip(("d_loss", "g_loss"), np.transpose(by_hand)):
        assert losses[name] == pytest.approx(expected, rel=1e-3)


def test_same_seed_same_bytes_other_seed_others(networks, monkeypatch, tmp_path, npz):
    arguments = {"epochs": 1, "batch_size": 64, "data": npz()}
    first = mnist_gan.train(**arguments, seed=3, output_dir=tmp_path / "first")
    same = mnist_gan.train(**arguments, seed=3, output_dir=tmp_path / "same")
    monkeypatch.setattr(mnist_gan, "xla_works", lambda: False)  # saves time only
    other = mnist_gan.train(**arguments, seed=4, output_dir=tmp_path / "other")
    for name in ("d_loss", "g_loss"):
        assert np.array_equal(first[name], same[name])
        assert not np.isclose(first[name], other[name], rtol=1e-3).all()
    for network in range(2):
        assert (weights(networks[0][network]) == weights(networks[1][network])).all()
        assert not np.allclose(weights(networks[0][network]), weights(networks[2][network]))


def test_history_and_arguments_by_position(small_networks, tmp_path, npz):
    losses = mnist_gan.train(2, 100, data=npz(), output_dir=tmp_path / "out")
    assert sorted(losses) == ["d_loss", "g_loss"]
    for values in losses.values():
        assert values.shape == (6,) and np.isfinite(values).all() and (values > 0).all()
    for epoch, row in enumerate(read_csv(tmp_path / "out")):
        assert row["epoch"] == str(epoch + 1)
        for name, values in losses.items():
            mean = values[3 * epoch : 3 * epoch + 3].mean()
            assert float(row[name]) == pytest.approx(mean, abs=1e-5)


def test_limit(small_networks, tmp_path, npz):
    """The images after the first 130 are not numbers: one of them would spoil the losses."""
    x = np.zeros((300, 784), np.float32)
    x[130:] = np.nan
    losses = train_on(x, tmp_path, batch_size=50, limit=130)
    assert len(losses["d_loss"]) == 2 * (130 // 50) and np.isfinite(losses["d_loss"]).all()
    about = json.loads((tmp_path / "run.json").read_text())
    assert about["data"]["images"] == 130
    assert about["data"]["sha256"] == hashlib.sha256(x).hexdigest()


def train_on(x, folder, **arguments):
    y = np.zeros(len(x), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist_gan, "load_mnist_data", lambda data: (x, y, x[:1], y[:1]))
        return mnist_gan.train(2, output_dir=folder, **arguments)


def test_run_json_knows_mnist():
    """By the digest that a real run on MNIST noted."""
    reference = Path(mnist_gan.__file__).parent / "outputs" / "reference" / "run.json"
    data = json.loads(reference.read_text())["data"]
    assert data["sha256"] == mnist_gan.MNIST_SHA256 and data["source"] == "MNIST"
    for arguments, digest, source in (
        ({"data": "auto"}, data["sha256"], "MNIST"),
        ({"data": "auto"}, "0", "drawn"),
        ({"data": "drawn"}, "0", "drawn"),
        ({"data": "a.npz"}, "0", "a.npz"),
    ):
        assert mnist_gan.describe_run(arguments, 5, digest)["data"]["source"] == source


def test_all_frames_and_the_saved_generator(small_networks, monkeypatch, tmp_path, npz):
    """Without learning, every frame shows the same images; with it, the last weights are saved."""
    path = npz()
    with monkeypatch.context() as patch:
        patch.setattr(mnist_gan, "get_optimizer", lambda: mnist_gan.Adam(0.0))
        mnist_gan.train(3, 100, data=path, output_dir=tmp_path / "still")
    with Image.open(tmp_path / "still" / "gan_training.gif") as gif:
        frames = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            frames.append(np.asarray(gif.convert("L"))[:280])
    assert len(frames) == 3
    assert (frames[0] == frames[1]).all() and (frames[1] == frames[2]).all()

    mnist_gan.train(2, 100, data=path, output_dir=tmp_path / "out")
    generator = keras.models.load_model(tmp_path / "out" / "generator.keras")
    with np.load(tmp_path / "out" / "checkpoint.npz") as saved:
        for i, weight in enumerate(generator.get_weights()):
            assert np.array_equal(weight, saved[f"variable_{i}"])


def test_swapped_functions_are_used(small_networks, monkeypatch, tmp_path, npz):
    drawn = []
    monkeypatch.setattr(
        mnist_gan, "plot_generated_images", lambda epoch, *_, **__: drawn.append(epoch)
    )
    mnist_gan.train(7, 100, data=npz(), sample_every=3, output_dir=tmp_path)
    assert drawn == [1, 3, 6]
    generator = keras.models.load_model(tmp_path / "generator.keras")
    assert generator.count_params() == 100 * 8 + 8 + 8 * 784 + 784


def test_numpy_draws_are_the_tutorials(small_networks, tmp_path, npz):
    """Pictures, saving and all else in `train` take nothing from NumPy's global generator."""
    mnist_gan.train(2, 100, data=npz(), seed=5, sample_every=1, output_dir=tmp_path)
    after = np.random.get_state()[1:3]
    np.random.seed(5)
    for _ in range(2 * 3):
        np.random.normal(0, 1, size=[100, 100])
        np.random.randint(0, 300, size=100)
        np.random.normal(0, 1, size=[100, 100])
    expected = np.random.get_state()[1:3]
    assert np.array_equal(after[0], expected[0]) and after[1] == expected[1]


def test_the_command_from_another_folder(tmp_path):
    """The run that the README opens with, on a small part of the data."""
    done = run_script("--data", "drawn", "--limit", "1280", "--epochs", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    outputs = tmp_path / "outputs"
    assert sorted(path.name for path in outputs.iterdir()) == [
        "checkpoint.npz",
        "gan_generated_image_epoch_1.png",
        "gan_loss.csv",
        "gan_loss.png",
        "gan_training.gif",
        "generator.keras",
        "run.json",
    ]
    (row,) = read_csv(outputs)
    assert list(row) == ["epoch", "d_loss", "g_loss", "seconds"]
    assert row["epoch"] == "1"
    for name in ("d_loss", "g_loss", "seconds"):
        assert 0 < float(row[name]) < 100
    line = f"epoch 1/1: d_loss {float(row['d_loss']):.3f}, g_loss {float(row['g_loss']):.3f}, "
    assert done.stdout.startswith(line) and done.stdout.count("\n") == 2
    assert done.stdout.endswith("done: the results are in outputs\n")
    assert "Epoch 1/1:   0%" in done.stderr  # the progress bar
    assert "tensorflow" not in done.stderr.lower() and "onednn" not in done.stderr.lower()

    about = json.loads((outputs / "run.json").read_text())
    assert about["arguments"]["epochs"] == 1 and about["arguments"]["limit"] == 1280
    assert about["data"]["source"] == "drawn" and about["data"]["images"] == 1280
    assert about["versions"]["keras"] == keras.__version__

    plain = (
        "import sys, keras, numpy as np;"
        "model = keras.models.load_model('outputs/generator.keras');"
        "print(model.predict(np.zeros((2, 100)), verbose=0).shape, 'mnist_gan' in sys.modules)"
    )
    done = run_python(plain, cwd=tmp_path)
    assert done.stdout.split("\n")[-2] == "(2, 784) False"
