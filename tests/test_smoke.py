"""Does anything work at all? The real command, as a user starts it, and its digits."""

import re

from helpers import contents
from PIL import Image


def test_smoke(whole, command, monkeypatch):
    folder, _, shown = whole
    lines = [line for line in shown.splitlines() if line.startswith(("outputs", "epoch"))]
    assert lines[0] == "outputs/run_1: 0 epochs done, 3 to go"
    losses = r"d_loss \d\.\d{3}, g_loss \d\.\d{3}, \d+\.\d s"
    assert re.fullmatch(rf"epoch 1/3: {losses}", lines[1])
    assert len(lines) == 5 and lines[4].startswith("outputs/run_1: ")
    assert "Epoch 1: " in shown and "d_loss=" in shown and "g_loss=" in shown
    names = {f"gan_generated_image_epoch_{epoch}.png" for epoch in (1, 2, 3)}
    names |= {"gan_loss.csv", "gan_loss.png", "gan_training.gif", "generator.keras"}
    names |= {"run.json", "script.py", "checkpoint.npz"}
    before = contents(folder)
    assert before.keys() == names

    monkeypatch.chdir(folder.parents[1])
    sheets = [folder / f"gan_generated_image_seed_{seed}.png" for seed in (10, 7)]
    assert command("--generate")[:2] == (0, f"saved outputs/run_1/{sheets[0].name}\n")
    assert command("--generate", "--seed", 7)[0] == 0
    assert Image.open(sheets[1]).size == (1000, 1000)
    assert sheets[0].read_bytes() != sheets[1].read_bytes()
    for sheet in sheets:
        sheet.unlink()
    assert contents(folder) == before  # it trained nothing
