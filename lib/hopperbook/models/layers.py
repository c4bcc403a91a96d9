"""What the layers of a model hold: attention, recurrent mixers and MLPs, each with the number of layers that have it.

A layer mixes tokens (by attention or by a recurrence) and then widens each token (an MLP or experts).  Counts, bytes
and FLOPs add up over layers, so a model is described by how many layers have which part, whatever their order.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Linear:
    """One weight matrix as a rank of a tensor-parallel group runs it: y[m, n] = x[m, k] w[k, n].

    Parameters
    ----------
    name : str
        ``qkv``, ``o``, ``gate_up``, ``down``, ``shared_gate_up``, ``shared_down``, ``router``, ``q_a``, ``q_b``,
        ``kv_a``, ``kv_b``, ``lm_head``, or what a family adds (``gate``, ``index``, ``mixer_in``, ``mixer_out``, ...).
    k, n : int
        Inner and outer size on one rank.
    layers : int
        How many layers have it.
    split : str
        ``column``, ``row`` (an all-reduce or reduce-scatter follows) or ``replicated``.
    """

    name: str
    k: int
    n: int
    layers: int
    split: str


@dataclass(frozen=True)
class Attention:
    """The attention of some of a model's layers.

    Parameters
    ----------
    layers : int
        How many layers have it.
    heads, kv_heads, head_dim, value_dim : int
        Heads of queries and of keys and values; width of a key and of a value.
    window : int
        Tokens it sees at most; 0 for all.
    q_rank, kv_rank, rope_dim : int
        Multi-head latent attention: ranks of the compressions, and the rotary part of ``head_dim``.
    index_heads, index_dim : int
        Sparse attention: heads and width of the indexer, whose keys are cached beside the others.
    selected : int
        Keys that a query reads of those that its indexer ranked; 0 for all.
    every : int
        A further compressed entry is cached each so many tokens; 0 for none.
    entry : int
        Values cached a token, where they are not keys and values of each head; 0 where they are.
    cached : bool
        It keeps a cache of the text; not where it reads another layer's, or an image's.
    matrices : tuple of Linear
        Matrices beside those of queries, keys, values and output, whole (``layers`` of them is not read).
    whole : bool
        ``matrices`` are all there are.
    vectors : int
        Biases, norms, sinks and the like of one layer.
    both : bool
        A token meets those after it too, as in an encoder; a window then lies half on each side.
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    window: int = 0
    q_rank: int = 0
    kv_rank: int = 0
    rope_dim: int = 0
    index_heads: int = 0
    index_dim: int = 0
    selected: int = 0
    every: int = 0
    entry: int = 0
    cached: bool = True
    matrices: tuple[Linear, ...] = ()
    whole: bool = False
    vectors: int = 0
    both: bool = False

    @property
    def latent(self) -> bool:
        """Whether it is multi-head latent attention."""
        return self.kv_rank > 0

    @property
    def token_values(self) -> int:
        """Values that one token leaves in the cache of one layer, a compressed entry's keys apart."""
        own = self.kv_rank + self.rope_dim if self.latent else self.kv_heads * (self.head_dim + self.value_dim)
        return (self.entry or own) + (0 if self.every else self.index_dim)

    @property
    def compressed_values(self) -> int:
        """Values of one compressed entry, its indexer's key included."""
        return (self.entry or self.kv_heads * (self.head_dim + self.value_dim)) + self.index_dim if self.every else 0


@dataclass(frozen=True)
class Recurrent:
    """A mixer that keeps a state of constant size: a state space, linear attention or a short convolution.

    Parameters
    ----------
    layers : int
        How many layers have it.
    kind : str
        Its name in the field, such as ``Mamba-2`` or ``gated delta rule``.
    matrices : tuple of Linear
        Its projections, whole.
    vectors : int
        Everything else of one layer: convolution, decay, norms, biases.
    state_values, conv_values : int
        Values that a sequence keeps in a layer: the state (float32), and the last inputs of the convolution (16 bits).
    flop_per_token : float
        Of the recurrence itself, beside the projections.
    """

    layers: int
    kind: str
    matrices: tuple[Linear, ...]
    vectors: int = 0
    state_values: int = 0
    conv_values: int = 0
    flop_per_token: float = 0.0


@dataclass(frozen=True)
class Feedforward:
    """The MLP or experts of some of a model's layers; a layer may have both.

    Parameters
    ----------
    layers : int
        How many layers have it.
    ffn : int
        Width of a dense MLP; 0 for none.
    gated : bool
        Three matrices (SwiGLU-like) instead of two.
    bias : bool
        Biases on them.
    experts, experts_per_token, expert_ffn, shared_ffn : int
        Routed experts, how many a token visits, their width, and the width of those that every token visits.
    latent : int
        Width at which routed experts read and write; 0 for the model's.
    matrices : tuple of Linear
        Further matrices, whole.
    vectors : int
        Further values of one layer.
    corrections : int
        Values of one layer that balance the router and are no parameters: they are not trained by gradients.
    """

    layers: int
    ffn: int = 0
    gated: bool = True
    bias: bool = False
    experts: int = 0
    experts_per_token: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    latent: int = 0
    matrices: tuple[Linear, ...] = ()
    vectors: int = 0
    corrections: int = 0


@dataclass(frozen=True)
class Stored:
    """How a checkpoint stores one kind of matrix.

    Parameters
    ----------
    name : str
        Name of a :class:`Linear`, or ``experts``.
    format : str
        Number format.
    bits : float
        Of a stored value, scales included.
    kept : float
        Share of the layers that keep it in 16 bits.
    """

    name: str
    format: str
    bits: float
    kept: float = 0.0
