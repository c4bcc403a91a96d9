"""A small language model trained in FP32, BF16 and FP8 side by side, forward and backward written out.

``python -m hopperbook.fp8.experiment`` repeats the whole experiment in under two minutes on two cores and writes
``data/fp8/training.csv``, ``exponents.csv`` and ``training.yaml``.  A transformer with causal attention learns to
predict the next character of a text that ships with SciPy.  In the FP8 runs the three products of every linear layer of
the blocks take quantised operands, as Transformer Engine and torchao do it: activations and weights forward, gradients
backward; head, embedding, attention, norms and residuals stay in BF16, master weights and Adam's moments in FP32.
"""

from hopperbook.fp8.experiment.recipes import KINDS, RECIPES
from hopperbook.fp8.experiment.results import COMMAND, stored, summary

__all__ = ["COMMAND", "KINDS", "RECIPES", "stored", "summary"]
