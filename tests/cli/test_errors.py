"""A user's mistakes: exit code 2, one message that names the value, the cause and the cure, no traceback, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def setting(digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files of every wrong kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("hello")
    (tmp_path / "text.parquet").write_text("hello")
    (tmp_path / "text.npy").write_text("hello")
    nan = np.random.default_rng(0).normal(size=(20, 8, 8))
    nan[7, 0, 0] = np.nan
    np.save("nan.npy", nan)
    np.save("narrow.npy", np.zeros((3, 4)))
    np.save("nan_codes.npy", np.full((2, 16), np.nan))
    np.save("objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.save("few.npy", np.zeros((2, 8, 8), dtype="uint8"))
    (tmp_path / "few.csv").write_text("z0,z1\n1,2\n")
    (tmp_path / "words.csv").write_text(",".join(f"z{i}" for i in range(16)) + "\n" + ",".join(["a"] * 16) + "\n")
    (tmp_path / "bad.toml").write_text("latent_size = [")
    return {"run": str(digits_run)}


# command -> what the message must hold
MISTAKES: dict[str, list[str]] = {
    "train digts -o r": ["digts", "did you mean digits?"],
    "train nowhere -o r": ["nowhere", "mnist"],
    "train https://example.org/x.zip -o r": ["download"],
    "train digits:sometimes -o r": ["sometimes", "digits:dynamic"],
    "train empty -o r": ["empty"],
    "train file -o r": ["file", "cannot be read"],
    "train nan.npy -o r": ["nan.npy", "item 7", "NaN"],
    "train text.npy -o r": ["text.npy"],
    "train objects.npy -o r": ["objects.npy"],
    "train few.npy -o r": ["few.npy", "too few"],
    "train digits -o r --recipe mpl": ["no recipe 'mpl'", "did you mean 'mlp'?"],
    "train digits -o r --recipe bad.toml": ["bad.toml", "not valid TOML"],
    "train digits -o r --set objective.betta=4": ["objective.betta", "did you mean 'beta'?"],
    "train digits -o r --set latent_size=-2": ["latent_size = -2", "greater than 0"],
    "train digits -o r --set beta": ["'beta'", "key=value"],
    "train digits -o r --set likelihood.kind=bernoulli": ["'bernoulli' does not fit", "--binarise dynamic"],
    "train digits -o r --recipe autoencoder --set objective.kind=elbo": ["posterior.kind = 'point'"],
    "train digits -o r --validation 1.5": ["1.5", "fraction"],
    "train digits -o r --size 4": ["4 x 4", "8 x 8"],
    "train digits -o r --size big": ["--size 'big'", "HEIGHTxWIDTH"],
    "train digits -o r --binarise sometimes": ["sometimes", "dynamic"],
    "train digits -o r --device cuda": ["--device cuda", "use --device cpu"],
    "train digits -o r --device tpu": ["'tpu'", "auto, cpu, cuda or mps"],
    "train digits -o r --epochs 0": ["--epochs", "greater than or equal to 1"],
    "train digits -o r --seed -1": ["--seed"],
    "train digits -o r --frobnicate": ["--frobnicate"],
    "train digits -o {run}": ["already holds a run", "--resume", "--overwrite"],
    "train digits -o {run} --resume --seed 3": ["other training items", "--seed"],
    "train digits -o {run} --resume --set latent_size=3": ["another recipe"],
    "train digits -o mine": ["mine is not empty and holds no run"],
    "train digits -o mine --overwrite": ["mine is not empty and holds no run"],
    "train digits -o file": ["file is a file"],
    "train digits -o file/r": ["file/r"],
    "train mnist -o r --data-dir empty": ["mnist"],
    "train": ["Missing argument", "DATA"],
    "frobnicate": ["No such command"],
    "sample nowhere -o s.png": ["no run folder nowhere", "vae train"],
    "sample mine -o s.png": ["mine is no complete run folder", "model.safetensors is missing"],
    "sample file -o s.png": ["no run folder file"],
    "sample {run} -o new.png --given label=7": ["cannot draw for label=7", "train with --set context=label"],
    "sample {run} -o new.png --given label": ["--given 'label' is not of the form key=value", "label=7"],
    "sample {run} -o s.jpg": ["s.jpg", ".png, .npy"],
    "sample {run} -o mine": ["mine already exists"],
    "sample {run} -o file": ["file already exists"],
    "sample {run} -o file/x.png": ["file cannot be made a folder"],
    "sample {run} -n 0": ["-n", "greater than or equal to 1"],
    "sample {run} --temperature -1": ["--temperature"],
    "sample {run} --device cuda -o s.png": ["--device cuda"],
    "reconstruct {run} nowhere -o r.png": ["nowhere"],
    "reconstruct {run} nan.npy -o r.png": ["nan.npy"],
    "reconstruct {run} digits -o r.gif": ["r.gif", ".png"],
    "encode {run} digits -o z.png": ["z.png", ".parquet, .csv, .npy"],
    "encode {run} digits -o z": ["-o z", ".parquet"],
    "encode {run} digits": ["--out"],
    "encode {run} digits -o z.csv --split half": ["half", "train, validation, test, all"],
    "encode {run} digits:dynamic -o z.csv": ["dynamic", "no binarisation"],
    "decode {run} nowhere.csv -o d.png": ["no file nowhere.csv", "vae encode"],
    "decode {run} few.csv -o d.png": ["few.csv lacks the columns z2", "z0 to z15"],
    "decode {run} words.csv -o d.png": ["words.csv cannot be read"],
    "decode {run} text.parquet -o d.png": ["text.parquet cannot be read"],
    "decode {run} text.npy -o d.png": ["text.npy cannot be read"],
    "decode {run} objects.npy -o d.png": ["objects.npy cannot be read"],
    "decode {run} narrow.npy -o d.png": ["(3, 4)", "(N, 16)"],
    "decode {run} nan_codes.npy -o d.png": ["NaN"],
    "interpolate {run} digits[0] digits[999] -o p.png": ["digits[999]", "0 to 179"],
    "interpolate {run} digits[-1] digits[0] -o p.png": ["digits[-1]"],
    "interpolate {run} digits[a] digits[0] -o p.png": ["whole number", "digits[3]"],
    "interpolate {run} nowhere[0] digits[0] -o p.png": ["nowhere"],
    "interpolate {run} digits[0] digits[1] -n 1 -o p.png": ["-n"],
    "evaluate {run} nowhere": ["nowhere"],
    "evaluate {run} --samples 0": ["--samples"],
    "evaluate {run} --disentanglement": ["disentanglement cannot be measured", "factors of variation", "sprites"],
    "evaluate {run} --annealed 3": ["--annealed", "greater than or equal to 10"],
    "evaluate {run} --gaps --samples 1": ["gaps cannot be measured", "--samples 1"],
    "evaluate {run} few.npy --probes": ["probes cannot be measured", "0 of 2 items have one"],
    "evaluate mine": ["mine is no complete run folder"],
    "score {run} digits -o s.npy": ["s.npy", ".parquet, .csv"],
    "score {run} digits -o s.csv --statistic surprise": ["surprise", "log-px, standardised, typicality, ratio"],
    "score {run} digits -o s.csv --fdr 1.5": ["--fdr", "less than or equal to 1"],
    "compare nowhere {run}": ["no run folder nowhere"],
    "compare digits mnist --recipe mlp": ["one data source", "digits, mnist"],
    "compare digits --recipe mlp --recipe nothing": ["no recipe 'nothing'"],
    "compare digits --recipe mlp --seeds 0": ["--seeds"],
    "info nowhere": ["no run folder nowhere"],
    "recipes nothing": ["no recipe 'nothing'", "mlp"],
}


@pytest.mark.parametrize("command", MISTAKES)
def test_mistakes(command: str, vae: Callable[..., Any], setting: dict[str, str], tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    run = {path: path.stat().st_mtime_ns for path in Path(setting["run"]).rglob("*")}
    done = vae(*command.format(**setting).split())
    assert done.code == 2, done.err
    assert done.out == ""
    flat = " ".join(done.err.replace("│", " ").split())  # usage errors are drawn in a box
    for part in MISTAKES[command]:
        assert part.format(**setting) in flat, done.err
    assert "Traceback" not in done.err
    assert done.err.count("Error") == 1
    assert set(tmp_path.rglob("*")) == before
    assert {path: path.stat().st_mtime_ns for path in Path(setting["run"]).rglob("*")} == run
