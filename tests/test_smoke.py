"""Does anything work at all? The real command, as a user starts it, and its digits."""

import re

from PIL import Image


def test_smoke(whole, command, monkeypatch):
    folder, _, shown = whole
    first, *epochs, last = [
        line for line in shown.splitlines() if line.startswith(("out", "epoch"))
    ]
    assert first == "outputs/run_1: 0 epochs done, 3 to go"
    for number, epoch in enumerate(epochs, start=1):
        losses = r"d_loss \d\.\d{3}, g_loss \d\.\d{3}, \d+\.\d s"
        assert re.fullmatch(rf"epoch {number}/3: {losses}", epoch)
    assert number == 3 and last.startswith("outputs/run_1: ")
    assert "Epoch 1: " in shown and "d_loss=" in shown and "g_loss=" in shown

    names = {f"gan_generated_image_epoch_{epoch}.png" for epoch in (1, 2, 3)}
    names |= {"gan_loss.csv", "gan_loss.png", "gan_training.gif", "generator.keras"}
    names |= {"run.json", "script.py", "checkpoint.npz"}
    assert {path.name for path in folder.iterdir()} == names

    monkeypatch.chdir(folder.parents[1])
    code, out, _ = command("--generate", "--seed", 7)
    assert (code, out) == (0, "saved outputs/run_1/gan_generated_image_seed_7.png\n")
    with Image.open(folder / "gan_generated_image_seed_7.png") as sheet:
        assert sheet.size == (1000, 1000) and len(sheet.getcolors()) > 10
    (folder / "gan_generated_image_seed_7.png").unlink()
