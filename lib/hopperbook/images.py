"""Image generation by diffusion transformers, at the level of FLOPs and memory: seconds of an image, images a second.

Coarser than the clock of language models: one share of the peak, fitted on one published run, stands for every kernel,
and the range is as wide as what other runs show (``data/images.yaml``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hopperbook import facts
from hopperbook.errors import InputError


class Images(NamedTuple):
    """One image on one GPU: seconds with their range, FLOP, and bytes in memory."""

    seconds: float
    low_s: float
    high_s: float
    flop: float
    memory_bytes: float
    steps: int

    @property
    def per_hour(self) -> float:
        """Images an hour of one GPU."""
        return 3600 / self.seconds


def _shape(model: str) -> dict[str, Any]:
    known = facts.read_yaml("images.yaml")["models"]
    if model not in known:
        raise InputError("image_model", model, "one of " + ", ".join(known), list(known))
    return known[model]


def label(model: str) -> str:
    """Return a model's name as its publisher writes it.

    Parameters
    ----------
    model : str
        Name in ``data/images.yaml``.

    Returns
    -------
    str
        For readers.

    Examples
    --------
    >>> label("flux.1-dev")
    'FLUX.1 dev'
    """
    return str(_shape(model)["label"])


def tokens(model: str, side_pixels: int) -> int:
    """Count the tokens of a step: those of the image, and of the prompt.

    Parameters
    ----------
    model : str
        Name in ``data/images.yaml``.
    side_pixels : int
        Side of a square image.

    Returns
    -------
    int
        Tokens.

    Raises
    ------
    InputError
        If the model is unknown.

    Examples
    --------
    >>> tokens("flux.1-dev", 1024)  # 64 x 64 of the image, and 512
    4608
    """
    shape = _shape(model)
    return (side_pixels // shape["token_pixels"]) ** 2 + shape["text_tokens"]


def linear_flop(model: str, side_pixels: int = 1024) -> float:
    r"""FLOP of the matrices of one pass.

    .. math:: 2 \cdot 12 h^2\, n\, (b_2 + b_1)

    Parameters
    ----------
    model : str
        Name in ``data/images.yaml``.
    side_pixels : int
        Side of a square image.

    Returns
    -------
    float
        FLOP over n tokens and all double and single blocks.

    Notes
    -----
    Source: ``black-forest-labs-2024-flux``.

    Examples
    --------
    >>> round(linear_flop("flux.1-dev") / 1e9)  # published: 59,523
    59490
    """
    shape = _shape(model)
    blocks = shape["double_blocks"] + shape["single_blocks"]
    return 24.0 * shape["hidden"] ** 2 * tokens(model, side_pixels) * blocks


def image_flop(model: str, side_pixels: int = 1024, steps: int = 0) -> float:
    r"""FLOP of one image: matrices, and attention of every token over every other, in each pass of each step.

    .. math:: s\,p\,(24 h^2 n b + 4 n^2 h b)

    Parameters
    ----------
    model : str
        Name in ``data/images.yaml``.
    side_pixels, steps : int
        Side of a square image, and denoising steps; 0 = as the publisher's example takes.

    Returns
    -------
    float
        FLOP; text encoders and autoencoder, a few per cent, are left out.

    Notes
    -----
    Source: ``black-forest-labs-2024-flux``, ``stability-2024-sd35``.

    Examples
    --------
    >>> round(image_flop("flux.1-dev", 1024, 28) / 1e12), round(image_flop("stable-diffusion-3.5-large") / 1e12)
    (2082, 1744)
    """
    shape = _shape(model)
    blocks = shape["double_blocks"] + shape["single_blocks"]
    attention = 4.0 * tokens(model, side_pixels) ** 2 * shape["hidden"] * blocks
    return (steps or shape["steps"]) * shape["passes"] * (linear_flop(model, side_pixels) + attention)


def generate(model: str, gpu: str | facts.GPU, *, side_pixels: int = 1024, steps: int = 0) -> Images:
    r"""Time one image on one GPU in 16 bits, and count what it holds.

    .. math:: t = \max\left(\frac{F}{\eta P}, \frac{s\,p\,B_w}{B}\right)

    Parameters
    ----------
    model : str
        Name in ``data/images.yaml``.
    gpu : str or GPU
        The part, of dense 16-bit peak P and bandwidth B.
    side_pixels, steps : int
        Side of a square image, and denoising steps; 0 = as the publisher's example takes.

    Returns
    -------
    Images
        Seconds with the ends of what published runs show; bytes of weights, text encoders and activations.

    Raises
    ------
    InputError
        If the model is unknown.

    Notes
    -----
    Source: ``xdit-2025-flux`` for the share of the peak, ``thestage-2025-flux`` for its range.

    Examples
    --------
    >>> one = generate("flux.1-dev", "L40S", steps=28)
    >>> [round(x, 1) for x in (one.seconds, one.low_s, one.high_s)]  # published: 14.4 compiled, 16 as it comes
    [11.7, 10.6, 18.8]
    >>> round(one.memory_bytes / 1e9)  # GB of a card of 48
    36
    """
    part = gpu if isinstance(gpu, facts.GPU) else facts.gpu(gpu)
    shape, share = _shape(model), facts.read_yaml("images.yaml")["peak_share"]
    steps = steps or shape["steps"]
    flop, weights = image_flop(model, side_pixels, steps), 2.0 * shape["parameters"]
    compute = flop / (share["value"] * part.dense_flop_per_s["bf16"])
    read = steps * shape["passes"] * weights / part.memory_bandwidth_bytes_per_s
    seconds = max(compute, read)
    activations = 2.0 * shape["passes"] * tokens(model, side_pixels) * shape["hidden"] * ACTIVATIONS
    held = weights + 2.0 * shape["beside"] + activations + DECODER_BYTES_A_PIXEL * side_pixels**2
    return Images(seconds, share["low"] * seconds, share["high"] * seconds, flop, held, steps)


#: Hidden vectors of a token alive in a block: residual, queries, keys and values, and the wide layer of the MLP.
ACTIVATIONS = 12
#: Bytes that the autoencoder's decoder holds for a pixel at its widest: three maps of 256 channels in 16 bits.
DECODER_BYTES_A_PIXEL = 3 * 256 * 2.0
