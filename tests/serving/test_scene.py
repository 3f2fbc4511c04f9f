"""The scene of the explorer, against scikit-learn, closed forms, and what the model says itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import vaeworks as vw
from vaeworks.errors import VaeworksError
from vaeworks.serving.scene import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    model = vw.train("digits", recipe="mlp", overrides=["latent_size=5", "training.epochs=3"])
    return Scene.of(model, model.items("digits")[:150])


def test_plane_is_that_of_principal_components(scene: Scene) -> None:
    pca = PCA(2).fit(scene.codes)
    assert np.allclose(np.abs(scene.plane("pca")), np.abs(pca.transform(scene.codes)), atol=1e-4)
    assert np.allclose(scene.explained, pca.explained_variance_ratio_, rtol=1e-4)


def test_codes_of_two_dimensions_are_shown_as_they_are(scenes: dict[str, Scene]) -> None:
    scene = scenes["audio"]
    assert scene.size == 2
    assert np.array_equal(scene.plane("pca"), scene.codes)
    assert scene.methods == ("pca",)


@torch.inference_mode()
def test_dimensions_are_in_order_of_a_kl_that_is_the_closed_form(scene: Scene) -> None:
    model = scene.model
    q = model.vae.encoder(scene.items.batch(model.schema, slice(None)).x)
    loc, scale = q.base_dist.loc.double(), q.base_dist.scale.double()
    expected = (0.5 * (loc**2 + scale**2 - 1) - scale.log()).mean(0)
    assert scene.measure == "kl"
    found = [d.nats for d in scene.dimensions]
    assert found == sorted(found, reverse=True)  # type: ignore[type-var]
    for d in scene.dimensions:
        assert d.nats == pytest.approx(float(expected[d.index]), rel=1e-4, abs=1e-5)
        assert d.low < np.quantile(scene.codes[:, d.index], 0.01)
        assert d.high > np.quantile(scene.codes[:, d.index], 0.99)


@torch.inference_mode()
def test_information_is_that_of_normal_codes_where_kl_does_not_divide(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    items, model = scene.items, scene.model
    monkeypatch.setattr(
        "vaeworks.serving.scene.kl_per_dimension", lambda level: level.z.sum(-1, keepdim=True)
    )  # the whole as one number, as of a flow
    scene = Scene.of(model, items)
    q = model.vae.encoder(items.batch(model.schema, slice(None)).x)
    loc, variance = q.base_dist.loc.double(), q.base_dist.scale.double().square()
    expected = 0.5 * torch.log((loc.var(0, unbiased=False) + variance.mean(0)) / variance.mean(0))
    assert scene.measure == "information"
    for d in scene.dimensions:
        assert d.nats == pytest.approx(float(expected[d.index]), abs=0.06)


def test_log_px_is_the_models(scene: Scene) -> None:
    assert scene.score_some()
    known = np.flatnonzero(np.isfinite(scene.log_px))
    assert len(known) == 100
    expected = scene.model.log_prob(scene.items[torch.from_numpy(known)], 50).value
    assert np.allclose(scene.log_px[known], expected.numpy(), atol=1e-3)
    assert np.isfinite(scene.score(60)).all()


def test_tsne_keeps_neighbours_together(scene: Scene) -> None:
    plane = scene.plane("tsne")
    assert plane is scene.plane("tsne")
    gaps = ((plane[:, None] - plane[None]) ** 2).sum(-1) + np.where(np.eye(len(plane)), np.inf, 0)
    beside = ((scene.codes[:, None] - scene.codes[None]) ** 2).sum(-1)
    near, far = beside[np.arange(len(plane)), gaps.argmin(1)].mean(), beside.mean()
    assert near < 0.5 * far


def test_channels_are_labels_columns_and_lengths(scenes: dict[str, Scene], scene: Scene) -> None:
    (label,) = scene.channels
    assert label.classes == scene.model.schema.classes
    assert scene.items.labels is not None
    assert np.array_equal(label.values, scene.items.labels.numpy())
    rows, table = scenes["table"].items, scenes["table"].model
    channels = {c.name: c for c in scenes["table"].channels}
    frame = table.frame(table.schema.to_x(rows.values))
    assert channels["height"].values == pytest.approx(frame["height"].to_numpy(), abs=1e-3)
    assert [channels["eyes"].classes[int(v)] for v in channels["eyes"].values] == frame["eyes"].to_list()


def test_facts_are_json_for_every_kind_and_nothing_to_show_is_told(scenes: dict[str, Scene]) -> None:
    for scene in scenes.values():
        facts = json.loads(json.dumps(scene.facts()))
        assert facts["count"] == len(scene.items)
        assert len(facts["levels"]) == len(facts["dimensions"]) == len(facts["centre"]) == scene.size
    with pytest.raises(VaeworksError, match="at least one"):
        Scene.of(scene.model, scene.items[:0])
