import pytest
import torch

from vaeworks.networks.conv import ConvDecoder, ConvEncoder, halvings


@pytest.mark.parametrize(
    ("shape", "channels", "stages", "expected"),
    [
        ((1, 28, 28), (32, 64), None, [(32, 14, 14), (64, 7, 7)]),
        ((1, 8, 8), (32, 64), None, [(32, 4, 4)]),
        ((3, 64, 20), (32, 64), None, [(32, 32, 10), (64, 16, 5), (128, 8, 3)]),
        ((3, 33, 9), (16,), 2, [(16, 17, 5), (32, 9, 3)]),
        ((3, 256, 256), (200, 300), None, [(200, 128, 128), (300, 64, 64), (300, 32, 32), (300, 16, 16), (300, 8, 8)]),
    ],
)
def test_halvings(shape: tuple[int, ...], channels: tuple[int, ...], stages: int | None, expected: list[tuple[int, int, int]]) -> None:
    assert halvings(shape, channels, stages) == expected


def test_encoder_sees_every_pixel() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 13, 22, requires_grad=True)
    (gradient,) = torch.autograd.grad(ConvEncoder((2, 13, 22), (3,), channels=(4,), activation="silu")(x).sum(), x)
    assert (gradient != 0).all()


def test_decoder_paints_every_pixel() -> None:
    torch.manual_seed(0)
    network = ConvDecoder((2,), (2, 13, 22), channels=(4,), activation="silu")
    assert (network(torch.randn(2, 2)).diff(dim=0) != 0).all()


def test_residual_blocks_start_as_the_identity() -> None:
    torch.manual_seed(0)
    plain = ConvEncoder((1, 8, 8), (3,), channels=(4,))
    residual = ConvEncoder((1, 8, 8), (3,), channels=(4,), blocks=2)
    plain_state = {k: v for k, v in plain.state_dict().items() if k.startswith(("body.0", "head"))}
    residual.load_state_dict(plain_state, strict=False)
    x = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(residual(x), plain(x))


def test_the_grid_of_sub_pixels_does_not_show_at_the_start() -> None:
    y = ConvDecoder((3,), (2, 8, 8), last="shuffle")(torch.randn(2, 3))
    blocks = y.unflatten(-1, (4, 2)).unflatten(-3, (4, 2))
    torch.testing.assert_close(blocks.amax((-3, -1)), blocks.amin((-3, -1)))
    assert blocks.std() > 0
