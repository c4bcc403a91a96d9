"""What faster products are worth: FP8 over BF16 for one product, and for a whole of which products are a share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.kernels.gemm import gemm_s
from hopperbook.kernels.tables import Floats


def amdahl(share: ArrayLike, gain: ArrayLike) -> Floats:
    r"""Return how much faster a whole becomes when a share of it does.

    .. math:: S = \frac{1}{1 - p + p / g}

    Parameters
    ----------
    share : float or array
        Share p of the whole's time, from 0 to 1.
    gain : float or array
        How many times as fast that share becomes; infinity for a share that takes no time.

    Returns
    -------
    ndarray
        Times as fast; infinity where all of it takes no time.

    Raises
    ------
    InputError
        If a share lies outside 0 to 1.

    Examples
    --------
    >>> round(float(amdahl(0.6, 2.0)), 3), round(float(amdahl(0.6, np.inf)), 3)
    (1.429, 2.5)
    """
    share = np.asarray(share, float)
    if np.any((share < 0) | (share > 1)):
        raise InputError("share", float(np.ravel(share)[0]), "a share from 0 to 1")
    with np.errstate(divide="ignore"):
        return 1 / (1 - share + share / np.asarray(gain, float))


def fp8_gain(gpu: str | facts.GPU, form: str, m: ArrayLike, n: ArrayLike, k: ArrayLike, engine: str = "vllm") -> Floats:
    """Return how many times as fast a product runs in FP8 as in BF16, the cast included.

    Parameters
    ----------
    gpu : str or GPU
        A part with FP8 units.
    form : str
        ``fp8``, or ``fp8_block``: of that the faster of vLLM's and TensorRT-LLM's kernels, as serving takes it.
    m, n, k : int or array
        Sizes of x[m, k] w[k, n]; broadcast together.
    engine : str
        Whose BF16 kernel, and whose FP8 kernel with one scale a tensor or row.

    Returns
    -------
    ndarray
        Times as fast.

    Raises
    ------
    InputError
        If the part or format has no measured kernel.

    Notes
    -----
    Source: ``aiconfigurator-2025``.

    Examples
    --------
    >>> round(float(fp8_gain("H100 SXM", "fp8", 8192, 8192, 8192)), 2)
    1.84
    """
    m = np.asarray(m, float)
    libraries = ("vllm", "trtllm") if form == "fp8_block" else (engine,)
    eight_s = np.min([gemm_s(gpu, form, m, n, k, library).seconds for library in libraries], axis=0)
    return np.asarray(gemm_s(gpu, "bf16", m, n, k, engine).seconds / eight_s, float)
