"""The model card: README.md in the form of the Hugging Face hub, with figures and the protocol that they were measured by."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeworks.model import AudioSchema, ImageSchema, TableSchema, TextSchema
from vaeworks.runs.begun import begun

if TYPE_CHECKING:
    from vaeworks.runs.model import Model

__all__ = ["SAMPLES", "card_files", "model_card"]

SAMPLES = "samples.png"
TASKS = {"image": "unconditional-image-generation", "text": "text-generation"}
"""The hub's names of what models do."""
TOLD = {"log_px": "log p(x)", "elbo": "ELBO", "bits_per_dim": "bits per dimension", "kl": "KL(q(z|x) || p(z))", "log_likelihood": "E_q log p(x|z)"}

GRAPHS_USE = {
    "onnx": """## How to use

The graphs run without vaeworks: `export.json` says what goes in, what comes out, and how items become numbers and back; `example.py` does it with numpy and onnxruntime alone.

```bash
pip install numpy onnxruntime
python example.py
```""",
    "torch": """## How to use

The programs run with torch alone: `export.json` says what goes in, what comes out, and how items become numbers and back.

```python
import torch

decoder = torch.export.load("decoder.pt2").module()
```""",
}


def card_files(
    model: Model, *, license: str | None = None, run: str | Path | None = None, repo_id: str | None = None, graphs: str = ""
) -> dict[str, bytes]:
    """README.md, of a folder that holds the model or the graphs, onnx or torch, made from it; and the picture of samples that it shows, where there is one."""
    home = Path(run) if run is not None else model.home
    files = {}
    for picture in (home / SAMPLES, home / "samples" / "sheet.png") if home is not None else ():
        if picture.is_file():
            files[SAMPLES] = picture.read_bytes()
            break
    files["README.md"] = model_card(model, license=license, run=home, repo_id=repo_id, samples=bool(files), graphs=graphs).encode()
    return files


def model_card(
    model: Model, *, license: str | None = None, run: Path | None = None, repo_id: str | None = None, samples: bool = False, graphs: str = ""
) -> str:
    """The card as Markdown under YAML: what the model is, what it learned from, its figures with protocol and standard errors, its limits, how to use it."""
    figures = _figures(run)
    title = repo_id.split("/")[-1] if repo_id else f"{model.recipe.name} VAE of {model.schema.source or model.schema.kind}"
    parts = [
        _front(model, figures, title, license),
        f"# {title}",
        f"A variational autoencoder of {_what(model)}, trained with vaeworks {metadata.version('vaeworks')} by the recipe `{model.recipe.name}`.",
        "![Samples drawn from the model](samples.png)" if samples else _samples(run),
        GRAPHS_USE[graphs] if graphs else _use(model, repo_id),
        _figures_table(figures),
        _data(model, run),
        "## Limitations\n\n" + "\n".join(f"- {limit}" for limit in _limits(model, figures)),
        "## Recipe\n\n```toml\n" + model.recipe.to_toml().strip() + "\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _samples(run: Path | None) -> str:
    """The first lines of the samples that a run of text or of a table left."""
    for name, count in (("samples.txt", 10), ("samples.csv", 6)) if run is not None else ():
        try:
            lines = (Path(run or "") / name).read_text("utf-8").splitlines()[:count]
        except (OSError, ValueError):
            continue
        return "Samples drawn from the model:\n\n" + "\n".join(f"    {line}" for line in lines)
    return ""


def _figures(run: Path | None) -> dict[str, Any]:
    """figures.json of the run; nothing where there is none that can be read: a card does without."""
    try:
        found = json.loads((run / "figures.json").read_text("utf-8")) if run is not None else {}
        return found if isinstance(found.get("figures"), dict) else {}
    except (OSError, ValueError, AttributeError):
        return {}


def _front(model: Model, figures: dict[str, Any], title: str, license: str | None) -> str:
    """The YAML that the hub reads; strings are written as JSON writes them, which YAML reads alike."""
    schema = model.schema
    tags = ["vaeworks", "variational-autoencoder", "vae", "generative", schema.kind, model.recipe.name]
    lines = ["library_name: vaeworks"]
    lines += [f"license: {json.dumps(license)}"] if license else ["# license: say here under which terms others may use this model"]
    task = TASKS.get(schema.kind)
    lines += [f"pipeline_tag: {task}"] if task else []
    lines += ["tags:", *(f"- {json.dumps(tag)}" for tag in dict.fromkeys(tags))]
    metrics = []
    for name, figure in figures.get("figures", {}).items():
        if name in TOLD:
            called = json.dumps(f"{TOLD[name]}, {figure['unit']}")
            metrics += [f"    - type: {name}", f"      name: {called}", f"      value: {figure['value']}"]
    if metrics:
        source = json.dumps(schema.source or schema.kind)
        lines += ["model-index:", f"- name: {json.dumps(title)}", "  results:", "  - task:", f"      type: {task or 'density-estimation'}"]
        lines += ["    dataset:", f"      name: {source}", f"      type: {source}", "      split: held-out", "    metrics:", *metrics]
    return "---\n" + "\n".join(lines) + "\n---"


def _what(model: Model) -> str:
    s = model.schema
    if isinstance(s, ImageSchema):
        return f"images of {s.shape[1]}x{s.shape[2]} pixels and {s.shape[0]} channel{'s' * (s.shape[0] > 1)}"
    if isinstance(s, TextSchema):
        return f"text of up to {s.shape[0] - 1} {s.unit}"
    if isinstance(s, AudioSchema):
        return f"sounds of up to {s.seconds:.2f} s at {s.rate} Hz, as {'log-mel spectrograms' if s.representation == 'mel' else 'waveforms'}"
    assert isinstance(s, TableSchema)
    return f"table rows of {len(s.modelled)} columns"


def _use(model: Model, repo_id: str | None) -> str:
    where = repo_id or "path/to/this/folder"
    condition = f", given={{'label': {model.schema.classes[0]!r}}}" if model.schema.context == "label" and model.schema.classes else ""
    size = model.vae.latents.code_size
    lines = [
        "## How to use", "", "```bash", "pip install 'vaeworks[hub]'", "```", "", "```python", "from vaeworks import Model", "",
        f"model = Model.from_pretrained({where!r})",
        f"x = model.sample(16{condition})        # {'model.frame(x) is a data frame' if model.schema.kind == 'table' else 'model.raw(x) are items'}",
        f"z = model.encode(items)        # codes of {size} numbers", "model.score(items)             # how probable each item is", "```", "",
        "Loading reads tensors, JSON and TOML, and runs no code.",
    ]  # fmt: skip
    return "\n".join(lines)


def _figures_table(figures: dict[str, Any]) -> str:
    found = figures.get("figures", {})
    if not found:
        return "## Figures\n\nNone are stored beside this model: `vae evaluate` measures them."
    rows = ["| figure | value | standard error | unit | meaning |", "|---|---:|---:|---|---|"]
    for name, figure in found.items():
        error = "" if figure.get("standard_error") is None else f"{figure['standard_error']:.3g}"
        called, meaning = (str(told).replace("|", "\\|") for told in (TOLD.get(name, name), figure.get("meaning", "")))
        rows.append(f"| {called} | {figure['value']:.5g} | {error} | {figure['unit']} | {meaning} |")
    plain = {name: value for name, value in figures.get("protocol", {}).items() if isinstance(value, str | int | float)}
    protocol = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in plain.items())
    return "## Figures\n\n" + "\n".join(rows) + f"\n\nMeasured on held-out items; standard errors are over items. Protocol: {protocol}."


def _data(model: Model, run: Path | None) -> str:
    s = model.schema
    lines = [f"- source: {s.source or 'not told'}", f"- training items: {s.count}", f"- shape of an item: {'x'.join(map(str, s.shape))}"]
    lines += [f"- classes: {', '.join(s.classes[:20])}{' ...' if len(s.classes) > 20 else ''}"] if s.classes else []
    lines += [f"- {name}: {value}" for name, value in s.protocol.items()]
    if isinstance(s, TableSchema):
        lines += [f"- column {c.name}: {c.kind}, {c.missing} of {s.count} training cells missing" for c in s.table[:50]]
    facts = begun(run) if run is not None else None
    lines += [f"- fingerprint of the training items (BLAKE2b): `{facts.data}`", f"- seed: {facts.seed}"] if facts is not None else []
    return "## Data\n\n" + "\n".join(lines)


def _limits(model: Model, figures: dict[str, Any]) -> list[str]:
    """What the figures warn of, and what holds of any such model."""
    told = [str(warning) for warning in figures.get("warnings", [])]
    told.append("It knows what its training items showed and nothing else; items of another kind get codes and scores all the same.")
    told.append("Samples may resemble training items, and carry whatever bias these have; nobody has reviewed them.")
    if model.point:
        told.append("It is a plain autoencoder: it gives no log p(x).")
    return told
