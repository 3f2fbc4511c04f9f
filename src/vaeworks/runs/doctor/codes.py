"""Codes: posterior collapse, a decoder that does not listen, a prior that draws where no codes are, components of it without items, samples unlike items."""

from __future__ import annotations

import math

import torch

from vaeworks.distributions.tokens import through_end
from vaeworks.evaluation import ACTIVE_VARIANCE, item_batches
from vaeworks.evaluation.figures import hidden
from vaeworks.evaluation.importance import log_prob
from vaeworks.evaluation.latent_use import components, latent_use, two_sample
from vaeworks.reporting import Examined, Finding
from vaeworks.runs.doctor.patient import Patient
from vaeworks.trace import Batch

__all__ = ["collapse", "decoder_use", "mixture", "prior_match", "sample_scores"]

NOTHING = 0.1
"""Nats of KL below which codes tell nothing."""
TOLD_APART, PLAINLY = 0.85, 0.95
"""Areas under the curve from which codes of items and of the prior are told apart: worth knowing, and so well that samples come from elsewhere."""
FAR = 2.0
"""Standard deviations over held-out items between their mean log p(x) and that of samples."""


def collapse(patient: Patient) -> Examined:
    """Whether codes tell anything, and how many dimensions do."""
    name, use = "latent dimensions", patient.use
    if use is None:
        return Examined(name, patient.unread)
    activity = use.activity[use.classes :]
    active, size = int((activity > ACTIVE_VARIANCE).sum()), len(activity)
    figures, told = {"active": float(active), "dimensions": float(size)}, f"{active} of {size} dimensions vary over the items"
    total = None
    if use.total_kl is not None:
        total = float(use.total_kl.mean())
        figures["kl"] = total
        told += f"; the codes carry {total:.2f} nats an item"
    spread = "" if use.kl is None else f", at most {float(use.kl.max()):.2g} nats in any of them"
    found = []
    if active == 0 or (total is not None and total < NOTHING):
        found.append(
            Finding(
                "posterior collapse",
                True,
                f"{told}{spread}.",
                "Every item has the same code, so the code says nothing: reconstructions look alike, and the map of the latent space is empty.",
                "Let the KL weigh less, or keep some nats in every dimension free of it.",
                _against_collapse(patient),
            )
        )
    elif active < size / 2 and size >= 4:
        enough = max(2, math.ceil(1.25 * active))
        found.append(
            Finding(
                "idle dimensions",
                False,
                f"{active} of {size} dimensions vary over the items by more than {ACTIVE_VARIANCE} in variance.",
                "The model switched off what it had no use for. That costs nothing but time: a smaller code would do.",
                f"Nothing needs mending; {enough} dimensions would be enough.",
                patient.again(f"latent_size={enough}"),
            )
        )
    return Examined(name, f"{told}.", figures, tuple(found))


def _against_collapse(patient: Patient) -> tuple[str, ...]:
    objective = patient.model.recipe["objective"]
    cures = []
    if float(objective.get("beta") or 1) > 1:
        cures.append(patient.again("objective.beta=1"))
    free = ["objective.beta=1"] if float(objective.get("beta") or 1) > 1 else []
    free += ["objective.free_bits=0.25"] if "free_bits" in objective else ["objective.kind=elbo", "objective.free_bits=0.25"]
    cures += [
        patient.again(*free),
        patient.again("training.pretrain=0.2"),
        patient.again("objective.schedule.kind=linear", "objective.schedule.fraction=0.3"),
    ]
    return tuple(command for cure in cures for command in cure)[:3]


def decoder_use(patient: Patient) -> Examined:
    """How much worse an item is rebuilt from another item's code, which bounds what the decoder takes from it; it should be more than the code costs."""
    name, use = "decoder", patient.use
    if use is None:
        return Examined(name, patient.unread)
    gain = (use.own - use.other).double()
    mean, error = float(gain.mean()), float(gain.std() / math.sqrt(len(gain))) if len(gain) > 1 else math.inf
    cost = None if use.total_kl is None else float(use.total_kl.mean())
    figures, told = {"gain": mean}, f"an item's own code rebuilds it {mean:.2f} ± {error:.2g} nats better than another item's"
    if cost is not None:
        told += f", and costs {cost:.2f}"
    if not math.isfinite(error):
        return Examined(name, f"Not measured: there {'is' if len(gain) == 1 else 'are'} {len(gain)} held-out items.", figures)
    found = []
    if mean < max(NOTHING, 2 * error) and mean < 1:
        found.append(
            Finding(
                "decoder ignores the code",
                True,
                f"{told}.",
                "The decoder writes the same whatever the code: it has learned to do without, as strong decoders of text and large KL weights make it do.",
                "Weaken what lets it: a lower KL weight, free bits, or a decoder that begins again once codes mean something.",
                _against_collapse(patient),
            )
        )
    elif cost is not None and mean + 2 * error < cost:
        free = float(patient.model.recipe["objective"].get("free_bits") or 0)
        found.append(
            Finding(
                "codes cost more than they tell",
                True,
                f"{told}.",
                "The bound would be higher without any code: the decoder does not use on new items what the encoder writes.",
                "Train on more data or for longer" + (", with fewer free bits." if free else "."),
                (
                    *(patient.again(f"objective.free_bits={free / 2:g}") if free else ()),
                    *patient.again(f"latent_size={max(2, patient.model.recipe['latent_size'] // 2)}"),
                ),
            )
        )
    return Examined(name, f"{told[:1].upper() + told[1:]}.", figures, tuple(found))


def prior_match(patient: Patient) -> Examined:
    """Whether a classifier tells codes of held-out items from codes that the prior draws."""
    name, use = "prior", patient.use
    if use is None:
        return Examined(name, patient.unread)
    tested = two_sample(use)
    if tested is None:
        return Examined(name, f"Not measured: {len(use.drawn)} held-out items are too few to compare with the prior.")
    apart = (
        f"mean furthest off in dimension {tested.dimension + 1}, by {tested.shift:.2f} standard deviations;"
        f" spread {tested.narrowest:.2f} to {tested.widest:.2f} times the prior's"
    )
    told = f"a classifier tells codes of items from codes of the prior with an area under the curve of {tested.auroc:.2f}"
    figures = {"auroc": tested.auroc, "shift": tested.shift, "narrowest": tested.narrowest, "widest": tested.widest}
    found = []
    if tested.auroc > TOLD_APART:
        fits = patient.model.schema.context != "partial-label"
        point = patient.model.point
        cures = (
            (patient.verb("fit-prior", "--kind gmm"), patient.verb("fit-prior", "--kind realnvp")) if fits else patient.again("prior.kind=realnvp")
        )
        found.append(
            Finding(
                "prior mismatch",
                tested.auroc > PLAINLY,
                f"{told} (0.5 would be chance); {apart}.",
                "Items have their codes where the prior seldom draws, so that samples come from places that the decoder hardly knows"
                + (": a plain autoencoder has no prior to speak of until one is fitted to its codes." if point else "."),
                "Fit a prior to the codes as they are; the encoder and the decoder stay."
                if fits
                else "Train with a prior that learns where codes lie.",
                cures,
            )
        )
    return Examined(name, f"{told[:1].upper() + told[1:]} (0.5 is chance).", figures, tuple(found))


def mixture(patient: Patient) -> Examined:
    """Whether the components of a mixture prior have items."""
    name, use = "mixture of the prior", patient.use
    if patient.model.recipe["prior"]["kind"] not in {"mixture", "vamp"}:
        return Examined(name, "The prior is no mixture.")
    if use is None:
        return Examined(name, patient.unread)
    if patient.learned is not None and len(patient.learned) > len(use.drawn):  # the more, the more components can have one
        use = latent_use(patient.model.vae, patient.learned, patient.model.schema, seed=patient.seed, device=patient.model.device)
    found = components(patient.model.vae, use.drawn[:, use.classes :], use.context if patient.model.vae.prior.context_size else None)
    if found is None:
        return Examined(name, f"Not measured: {len(use.drawn)} items are too few for its components.")
    told = f"{found.used} of {found.count} components have items, as many as {found.effective:.1f} even ones"
    figures = {"components": float(found.count), "used": float(found.used), "effective": found.effective}
    dead = found.used < found.count / 2 or found.effective < 1.5
    enough = max(2, math.ceil(1.5 * found.effective))
    findings = [
        Finding(
            "unused components",
            found.effective < 1.5,
            f"{told}.",
            "The mixture has become a single bump, and is no better than a standard normal prior."
            if found.effective < 1.5
            else "Most components of the prior stand for no item. That costs time, and what they weigh is drawn into samples.",
            "Fit the mixture anew to the codes, or give it fewer components.",
            (patient.verb("fit-prior", f"--kind gmm --set prior.components={enough}"), *patient.again(f"prior.components={enough}")),
        )
    ]
    return Examined(name, f"{told}.", figures, tuple(findings if dead else ()))


@torch.inference_mode()
def sample_scores(patient: Patient) -> Examined:
    """Whether items drawn from the model are as probable to it as held-out ones: the same where it knows their kind."""
    name, model, new = "samples", patient.model, patient.held_out
    if model.point:
        return Examined(name, "Not measured: a plain autoencoder gives no log p(x).")
    if new is None or not len(new):
        return Examined(name, patient.unread)
    chosen = new if len(new) <= 200 else new[torch.linspace(0, len(new) - 1, 200).round().long()]
    theirs = model.log_prob(chosen, 20, seed=patient.seed).value.double().cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(patient.seed)
        shape = next(item_batches(hidden(chosen, model.schema), model.schema, len(chosen), patient.seed)).to(model.device)
        context = shape.context
        x = model.vae.decode(model.vae.latents.generate(model.vae.prior, len(chosen), context), context).sample()
        batch = Batch(x, shape.observed, context)
        if model.schema.kind == "audio":
            batch = Batch(x.nan_to_num(0.0), x.isfinite(), context)
        elif model.schema.kind == "text":
            batch = Batch(model.schema.within(x), through_end(x), context)
        ours = log_prob(model.vae, batch, 20).value.double().cpu()
    mean, spread = float(theirs.mean()), float(theirs.std()) if len(theirs) > 1 else math.nan
    drawn = float(ours[ours.isfinite()].mean())
    far = (drawn - mean) / spread if spread > 0 else math.nan
    told = f"log p(x) of drawn items is {drawn:.2f} nats on average, of held-out ones {mean:.2f}, with a spread of {spread:.2f} over items"
    found = []
    if math.isfinite(far) and abs(far) > FAR and len(theirs) >= 20:
        more = (
            "more probable to the model than real ones: it is surer of its own than of the data"
            if far > 0
            else "stranger to the model than real ones"
        )
        found.append(
            Finding(
                "samples unlike items",
                True,
                f"{told}: {abs(far):.1f} times that spread apart.",
                f"What the model draws is {more}, so it does not draw what it was shown.",
                "Fit a prior to the codes, and look at overfitting above.",
                (patient.verb("fit-prior", "--kind realnvp"),) if model.schema.context != "partial-label" else (),
            )
        )
    return Examined(name, f"{told[:1].upper() + told[1:]}.", {"drawn": drawn, "held_out": mean, "spread": spread}, tuple(found))
