"""Model: what users hold. A VAE with the schema of its data; it speaks pictures, the VAE speaks tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaeworks.data import Items, Options, Source, read_items
from vaeworks.errors import ArtifactError, DataError, VaeworksError
from vaeworks.evaluation import Figures, LogProb, Statistic, evaluate, item_batches, item_seeds, log_prob, posterior_means
from vaeworks.evaluation.figures import hidden
from vaeworks.export import load_artifact, save_artifact
from vaeworks.model import VAE, ImageSchema, Schema, TableSchema
from vaeworks.recipes import Recipe, build_vae, parse_recipe
from vaeworks.runs.calibration import ScoreCalibration, load_calibration, save_calibration
from vaeworks.runs.display import Display, model_html
from vaeworks.runs.drawing import Drawing
from vaeworks.runs.exporting import Exported, export_model
from vaeworks.runs.filling import Imputation, conditional_rows, impute, read_missing
from vaeworks.runs.hub import fetched, push_to_hub, save_pretrained
from vaeworks.runs.language_model import load_language_model
from vaeworks.runs.scores import Scores, score

if TYPE_CHECKING:
    from PIL.Image import Image
    from polars import DataFrame

__all__ = ["Model", "load"]

Wish = Mapping[str, Any] | Tensor | None
"""What a conditional model is asked to draw for: by name, or numbers for its columns."""


class Model:
    """A trained model: ``sample, reconstruct, encode, decode, interpolate, log_prob``.

    Wherever items are asked for, anything that ``vae train`` reads will do: a path, a built-in name, an array, a list of PIL images.
    Everything but ``sample`` is deterministic by default; ``sample`` is, given its seed.
    """

    def __init__(
        self,
        vae: VAE,
        schema: Schema,
        recipe: Recipe,
        *,
        device: torch.device | str = "cpu",
        language_model: VAE | None = None,
        calibration: ScoreCalibration | None = None,
    ):
        self.calibration = calibration
        """What held-out items score, for the p-values of ``score``; None where that was not measured."""
        self.device = torch.device(device)
        self.vae, self.schema, self.recipe, self.language_model = vae.to(self.device).eval(), schema, recipe, language_model

    home: Path | None = None
    """The run folder that this model is of, where its figures and samples are; None where it has none."""

    @property
    def point(self) -> bool:
        """Whether this is a plain autoencoder, which knows no log p(x)."""
        return bool(self.recipe["posterior"]["kind"] == "point")

    @property
    def _dtype(self) -> torch.dtype:
        """What the weights are in: float32, unless somebody asked for float64."""
        return next((p.dtype for p in self.vae.parameters()), torch.float32)

    def items(self, source: Source | Items, options: Options | None = None) -> Items:
        """``source`` read in the form this model knows; DataError where it cannot be."""
        return source if isinstance(source, Items) else read_items(source, self.schema, options=options)

    def raw(self, x: Tensor) -> list[Any]:
        """x (N, *shape) as N items that people know: PIL images, strings, or waveforms (T,) in [-1, 1]."""
        return self.schema.to_raw(x)

    def images(self, x: Tensor) -> list[Image]:
        """x (N, *shape) as PIL images."""
        if not isinstance(self.schema, ImageSchema):
            raise DataError(f"this is a model of {self.schema.kind}, whose items are no images: model.raw(x) gives them")
        return self.schema.to_images(x)

    def frame(self, x: Tensor) -> DataFrame:
        """x (N, D), rows of a table, as a polars DataFrame with the columns of the original; NaN is a missing cell."""
        if not isinstance(self.schema, TableSchema):
            raise DataError(f"this is a model of {self.schema.kind}, whose items are no rows: model.raw(x) gives them")
        return self.schema.to_frame(x)

    def show(self, x: Tensor | Mapping[str, Tensor] | None = None, *, in_order: bool = False) -> Display:
        """Items as a notebook shows them: x (N, *shape), several versions of the same by name, or without any 16 samples; ``in_order`` where they are a path."""
        x = self.sample(seed=0) if x is None else x
        return Display(self, {"items": x} if isinstance(x, Tensor) else x, in_order=in_order)

    def __repr__(self) -> str:
        return f"<Model of {self.schema.kind}: {self.schema.source}, recipe {self.recipe.name}>"

    def _repr_html_(self) -> str:
        return model_html(self)

    @torch.inference_mode()
    def sample(
        self, n: int = 16, *, temperature: float = 1.0, seed: int | None = None, given: Wish = None, noise: bool | None = None,
        token_temperature: float = 1.0, top_p: float = 1.0, beam: int = 1,
    ) -> Tensor:  # fmt: skip
        """n items drawn from the model, x (N, *shape).

        z ~ p(z), its spread scaled by ``temperature``; x is the mean of p(x | z), or a draw from it with ``noise``, as text is unless it is False; for text see ``Drawing``.
        ``given`` is what a conditional model draws for: {"label": "7"},
        or each column's number by name, or a tensor of them, (C,) or (n, C). Without it classes take turns, and columns are at their means.
        Of a table any other column may be given too: {"sex": "F", "age": (30, 40)}, see ``sample_given``.
        """
        if n < 1:
            raise VaeworksError(f"cannot draw {n} samples: ask for one or more")
        if temperature < 0:
            raise VaeworksError(f"temperature {temperature} is negative: 0 gives the prior's mean, 1 the prior itself")
        told, conditions = self.parted(given)
        if conditions:
            if temperature != 1 or noise is False:
                raise VaeworksError("rows under conditions are drawn from the model as it is: leave temperature at 1, and noise as it is")
            return self.sample_given(n, conditions, context=told, seed=seed)[0]
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.manual_seed(seed)
            context = self.context(n, given)
            z = self.vae.latents.generate(self.vae.prior, n, context, temperature)
            noise = self.schema.drawn and beam == 1 if noise is None else noise
            return self._decode(z, context, Drawing(noise, token_temperature, top_p, beam))

    def sample_given(
        self, n: int, given: Mapping[str, Any], *, context: Wish = None, samples: int = 2000, seed: int | None = None
    ) -> tuple[Tensor, float]:
        """n rows x (n, D) of a table from p(row | conditions), and the effective sample size behind them: where it is a few, rows are much alike.

        ``given`` by column: a value, a category, or of numbers and dates a range, (30, 40) or "30..40", both ends included. ``samples`` codes are proposed, and more where the
        conditions are rare. ``context`` is what a conditional model is also given. DataError names what can be given where something cannot.
        """
        x, effective = conditional_rows(self, n, given, self.context(n, context), samples=samples, seed=seed)
        return self.schema.within(x), effective

    def parted(self, given: Wish) -> tuple[Wish, dict[str, Any]]:
        """What the context is given, and what columns of the table are."""
        if self.schema.kind != "table" or given is None or isinstance(given, Tensor):
            return given, {}
        own = (
            {"label"} if self.schema.context in {"label", "partial-label"} else set(self.schema.columns) if self.schema.context == "vector" else set()
        )
        return {name: wish for name, wish in given.items() if name in own} or None, {name: wish for name, wish in given.items() if name not in own}

    def impute(
        self, source: Source | Items, *, draws: int = 1, samples: int = 1000, mask: Any = None, gap: tuple[float, float] | None = None,
        gap_mark: str = "_", seed: int = 0, options: Options | None = None, progress: Callable[[int], None] | None = None,
    ) -> Imputation:  # fmt: skip
        """What is missing of each item filled in, ``draws`` times from p(missing | seen), or with 0 by best values; what is seen stays as it is.

        Missing are empty cells of tables; of pictures NaN, or what ``mask`` says (left, right, top, bottom, center, random:0.5, a file, an array that is 0 there); of sounds ``gap`` in
        seconds; of text each ``gap_mark``. ``samples`` codes are proposed for each item.
        """
        missing = read_missing(self, source, options=options, mask=mask, gap_seconds=gap, gap_mark=gap_mark, seed=seed)
        return impute(self, missing, draws=draws, samples=samples, seed=seed, progress=progress)

    def context(self, n: int, given: Wish = None) -> Tensor | None:
        """The context (n, C) that ``given`` names, each class in turn or every column's mean where it names none; None for an unconditional model. VaeworksError where it does not fit."""
        if self.schema.context == "vector":
            context = self.schema.to_context(vectors=self._columns(n, given))
        else:
            classes, by_label = self.schema.classes, self.schema.context != "none"
            wishes = {"context": tuple(given.shape)} if isinstance(given, Tensor) else dict(given or {})
            label = wishes.pop("label", None) if by_label else None
            if wishes:
                able = "label=..." if by_label else "nothing: train with --set context=label to choose labels"
                raise VaeworksError(f"cannot draw for {', '.join(f'{k}={v}' for k, v in wishes.items())}: this model can be given {able}")
            if label is not None and str(label) not in classes:
                raise VaeworksError(f"label={label} is no class of this model: choose one of {', '.join(classes)}")
            labels = torch.arange(n) % max(1, len(classes)) if label is None else torch.full((n,), classes.index(str(label)))
            context = self.schema.to_context(labels)
        return None if context is None else context.to(self.device)

    def _columns(self, n: int, given: Wish) -> Tensor:
        """The numbers (n, C) of the columns that ``given`` names, in their own units; VaeworksError where they are not as many."""
        schema = self.schema
        wish = given if isinstance(given, Tensor) else schema.to_vector(given or dict(zip(schema.columns, schema.column_means, strict=True)))
        size = len(schema.columns)
        if tuple(wish.shape) not in {(size,), (1, size), (n, size)}:
            raise VaeworksError(
                f"a context of shape {tuple(wish.shape)} does not fit {n} items: give ({size},) or ({n}, {size}), that is {', '.join(schema.columns)}"
            )
        return wish.to(torch.float32).expand(n, -1)

    def encode(self, source: Source | Items) -> Tensor:
        """The posterior mean of every item, (N, D); a label that the model infers is not told."""
        return posterior_means(self.vae, hidden(self.items(source), self.schema), self.schema, device=self.device)

    @torch.inference_mode()
    def decode(self, z: Tensor, context: Tensor | None = None, *, beam: int = 1) -> Tensor:
        """The mean of p(x | z) at codes (N, D), of text the most probable: x (N, *shape); a conditional model also needs the ``context`` (N, C) of each."""
        size = self.vae.latents.code_size
        if z.dim() != 2 or z.shape[1] != size:
            raise DataError(f"codes of shape {tuple(z.shape)} do not fit this model: it takes (N, {size})")
        if not z.isfinite().all():
            raise DataError("the codes hold NaN or infinity: every coordinate must be a finite number")
        if self.schema.context in {"label", "vector"} and context is None:
            raise VaeworksError("this model is conditional: give each code its context, for example model.context(len(z), {'label': ...})")
        return self._decode(z.to(self.device, self._dtype), None if context is None else context.to(self.device), Drawing(beam=beam))

    def reconstruct(self, source: Source | Items, *, beam: int = 1) -> Tensor:
        """The mean of p(x | z) at each item's posterior mean, (N, *shape)."""
        items = self.items(source)
        return self.decode(self.encode(items), items.conditions(self.schema), beam=beam)

    @torch.inference_mode()
    def interpolate(self, a: Source | Items, b: Source | Items, n: int = 8, *, beam: int = 1) -> Tensor:
        """n items from the first of ``a`` to the first of ``b``, equal steps along the straight line between their codes: (n, *shape)."""
        if n < 2:
            raise VaeworksError(f"a path of {n} items has no two ends: ask for 2 or more")
        ends = [self.items(source)[:1] for source in (a, b)]
        codes, contexts = [self.encode(end) for end in ends], [end.conditions(self.schema) for end in ends]
        share = torch.linspace(0, 1, n).unsqueeze(1)
        context = None if contexts[0] is None or contexts[1] is None else torch.lerp(contexts[0], contexts[1], share)
        return self.decode(torch.lerp(codes[0], codes[1], share), context, beam=beam)

    def log_prob(
        self, source: Source | Items, samples: int = 1000, *, seed: int = 0, terms: bool = False, progress: Callable[[int], None] | None = None
    ) -> LogProb:
        """log p(x) of every item in nats, by importance sampling, with its standard error; VaeworksError for a plain autoencoder, which has none.

        What is drawn for an item depends on the item and the seed alone, and not on what else is in ``source``. ``terms``: also what each coordinate adds to it.
        """
        if self.point:
            raise VaeworksError("a plain autoencoder gives no log p(x): its posterior is a point without density; train a VAE recipe for scores")
        items = hidden(self.items(source), self.schema)
        with torch.random.fork_rng(devices=[]):
            batches = (batch.to(self.device) for batch in item_batches(items, self.schema, 500, seed))
            return log_prob(self.vae, batches, samples, seeds=item_seeds(items, seed), terms=terms, progress=progress)

    def score(
        self,
        source: Source | Items,
        *,
        statistic: Statistic | None = None,
        samples: int | None = None,
        seed: int | None = None,
        fdr: float | None = None,
        attribution: bool = False,
        calibration: ScoreCalibration | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Scores:
        """How strange every item is, with its p-value among the held-out items of the model's ``calibration``, or of another: see ``Scores``.

        ``statistic``: log-px, standardised (the default of tables), typicality or ratio.
        ``samples`` and ``seed`` are the calibration's unless given; at other ``samples`` there are no p-values. ``fdr`` selects items at this
        false discovery rate. ``attribution`` tells what of an item is strange: of every text and table row, of the strangest pictures and sounds.
        VaeworksError where what is asked for cannot be had.
        """
        return score(
            self, self.items(source), statistic=statistic, samples=samples, seed=seed, fdr=fdr, attribution=attribution,
            calibration=calibration or self.calibration, progress=progress,
        )  # fmt: skip

    def evaluate(
        self,
        source: Source | Items,
        samples: int = 1000,
        *,
        seed: int = 0,
        found: LogProb | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Figures:
        """ELBO, log p(x), bits per dimension, KL and active units on ``source``, of text perplexities beside the language model's, with their protocol.

        ``found`` is what ``log_prob`` made of the same items with the same samples and seed, where it is known already.
        """
        with torch.random.fork_rng(devices=[]):
            return evaluate(
                self.vae,
                self.items(source),
                self.schema,
                samples=samples,
                seed=seed,
                device=self.device,
                language_model=self.language_model,
                found=found,
                progress=progress,
            )

    def save(self, folder: str | Path) -> Path:
        """Write model.safetensors, schema.json and recipe.toml into ``folder``, and calibration.safetensors where there is one, each atomically."""
        path = save_artifact(Path(folder), self.vae.state_dict(), self.schema, self.recipe.to_toml())
        if self.calibration is not None:
            save_calibration(path, self.calibration)
        return path

    def save_pretrained(
        self, save_directory: str | Path, *, license: str | None = None, repo_id: str | None = None, push_to_hub: bool = False, **settings: Any
    ) -> str | None:
        """Write what ``from_pretrained`` reads into a folder, with a model card; ``push_to_hub``: also upload it to ``repo_id``, by default the folder's name, with these ``settings``."""
        folder = save_pretrained(self, save_directory, license=license, repo_id=repo_id)
        return self.push_to_hub(repo_id or folder.name, license=license, **settings) if push_to_hub else None

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *, revision: str | None = None, token: str | bool | None = None,
        cache_dir: str | Path | None = None, local_files_only: bool = False, force_download: bool = False, device: torch.device | str = "cpu",
    ) -> Model:  # fmt: skip
        """The model in a folder, or in a repository of the Hugging Face hub, "organisation/name" (extra ``hub``). No code runs. ArtifactError where there is none, or it is damaged."""
        folder = fetched(
            pretrained_model_name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        return load(folder, device=device)

    def push_to_hub(self, repo_id: str, **settings: Any) -> str:
        """Upload the model and its card to the repository ``repo_id`` of the hub (extra ``hub``) and return the commit's address.

        ``settings``: license, commit_message, private, token, branch, create_pr, allow_patterns, ignore_patterns, delete_patterns.
        """
        return push_to_hub(self, repo_id, **settings)

    def export(self, out: str | Path, **settings: Any) -> Exported:
        """Write graphs that run without this library, compared with torch: ``format`` onnx (extra ``export``), torch or safetensors, ``only``, ``license``; see ``export_model``."""
        return export_model(self, out, **settings)

    def _decode(self, z: Tensor, context: Tensor | None, drawing: Drawing) -> Tensor:
        parts = []
        for start in range(0, len(z), 500):
            here = slice(start, start + 500)
            p = self.vae.decode(z[here], None if context is None else context[here])
            parts.append(self.schema.within(drawing.of(p)).cpu())
        return torch.cat(parts)


def load(folder: str | Path, *, device: torch.device | str = "cpu") -> Model:
    """The model in a run folder, one that ``Model.save`` wrote, or "hf://organisation/name" of the hub. Reads tensors, JSON and TOML: no code runs. ArtifactError where it is damaged."""
    folder = fetched(folder) if str(folder).startswith("hf://") else folder
    state, schema, toml = load_artifact(Path(folder))
    recipe = parse_recipe(toml, str(Path(folder) / "recipe.toml"))
    vae = build_vae(recipe, schema)
    try:
        vae.load_state_dict(state)
    except RuntimeError as error:
        raise ArtifactError(
            f"{folder}: the weights do not fit the recipe beside them ({str(error).splitlines()[0]}); one of the files was replaced"
        ) from error
    plain = load_language_model(Path(folder), recipe, vae) if schema.kind == "text" else None
    model = Model(vae, schema, recipe, device=device, language_model=plain, calibration=load_calibration(Path(folder), vae))
    model.home = Path(folder)
    return model
