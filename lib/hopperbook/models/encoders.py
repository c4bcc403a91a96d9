"""Encoders that embed or score texts: BERT and those after it, read and counted as every other family is.

An encoder has no LM head: what a checkpoint holds beside the layers (a pooler, a head that scores or that fills masks)
is counted by the architecture that its config names.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from hopperbook.errors import InputError
from hopperbook.models.families import Family
from hopperbook.models.fields import Fields, divides
from hopperbook.models.shape import Model


def _bert(f: Fields, family: Family) -> Model:
    """Read BERT: learned positions, token types, LayerNorms behind each part, biases everywhere."""
    return _classic(f, offset=0)


def _roberta(f: Fields, family: Family) -> Model:
    """Read RoBERTa and XLM-RoBERTa: BERT whose first positions are taken by the padding token."""
    return _classic(f, offset=int(f.config.get("pad_token_id") or 1) + 1)


def _classic(f: Fields, offset: int) -> Model:
    hidden, heads = _hidden_and_heads(f, "hidden_size", "num_attention_heads")
    f.only("position_embedding_type", "absolute")
    f.only("is_decoder", False)
    f.only("embedding_size", hidden)  # ELECTRA's narrow embeddings are not counted
    rows, types = f.size("max_position_embeddings"), f.size("type_vocab_size", least=0)
    vocab = f.size("vocab_size")
    return Model(
        name="", layers=f.size("num_hidden_layers"), hidden=hidden, heads=heads, kv_heads=heads,
        head_dim=hidden // heads, ffn=f.size("intermediate_size"), vocab=vocab, gated=False, tied_embeddings=True,
        qkv_bias=True, o_bias=True, mlp_bias=True, norm_bias=True, final_norm=False, positions=rows,
        context_limit=rows - offset, other=hidden * (types + 2) + _heads_of(f, hidden, vocab, offset > 0),
        encoder=True,
    )  # fmt: skip


def _heads_of(f: Fields, hidden: int, vocab: int, roberta: bool) -> int:
    """Count what stands behind the last layer: a pooler, or a head that classifies or fills masks."""
    named = f.config.get("architectures")
    kind = str(named[0]) if isinstance(named, list) and named else ""
    dense = hidden * hidden + hidden
    if kind.endswith("ForMaskedLM"):
        return dense + 2 * hidden + vocab
    if kind.endswith("ForSequenceClassification"):
        return dense + (hidden + 1) * _labels(f)
    if kind and not kind.endswith("Model"):
        allowed = "an architecture that ends in Model, ForMaskedLM or ForSequenceClassification"
        raise InputError("config.json: architectures", kind, allowed)
    return dense  # the pooler


def _labels(f: Fields) -> int:
    named = f.get("id2label")
    return len(named) if isinstance(named, dict) and named else f.size("num_labels", default=2)


def _hidden_and_heads(f: Fields, hidden_name: str, heads_name: str) -> tuple[int, int]:
    hidden, heads = f.size(hidden_name), f.size(heads_name)
    divides(heads_name, heads, hidden_name, hidden)
    return hidden, heads


def _modernbert(f: Fields, family: Family) -> Model:
    """Read ModernBERT: gated MLPs without biases, rotary positions, windows in two of three layers."""
    hidden, heads = _hidden_and_heads(f, "hidden_size", "num_attention_heads")
    layers, every = f.size("num_hidden_layers"), f.size("global_attn_every_n_layers", default=3)
    for name in ("attention_bias", "mlp_bias", "norm_bias"):
        f.only(name, False)
    f.only("position_embedding_type", "absolute")
    vocab = f.size("vocab_size")
    named = f.config.get("architectures")
    masked = isinstance(named, list) and bool(named) and str(named[0]).endswith("ForMaskedLM")
    labels = isinstance(named, list) and bool(named) and str(named[0]).endswith("ForSequenceClassification")
    f.only("tie_word_embeddings", True)
    f.only("classifier_bias", False)
    bias = vocab * f.flag("decoder_bias", True)
    head = (hidden * hidden + hidden) * (masked or labels) + bias * masked + (hidden + 1) * _labels(f) * labels
    return Model(
        name="", layers=layers, hidden=hidden, heads=heads, kv_heads=heads, head_dim=hidden // heads,
        ffn=f.size("intermediate_size"), vocab=vocab, tied_embeddings=True, window=f.size("local_attention"),
        window_layers=layers - -(-layers // every), context_limit=f.size("max_position_embeddings"),
        other=head, encoder=True,  # a norm of the embedding, none before the first attention: they cancel
    )  # fmt: skip


def _nomic_bert(f: Fields, family: Family) -> Model:
    """Read Nomic's BERT: gated MLPs without biases, rotary positions, LayerNorms with biases behind each part."""
    hidden, heads = _hidden_and_heads(f, "n_embd", "n_head")
    for name in ("qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias", "use_rms_norm", "prenorm", "causal"):
        f.only(name, False)
    f.only("activation_function", "swiglu")
    f.only("parallel_block", False)
    f.only("parallel_block_tied_norm", False)
    types = f.size("type_vocab_size", least=0)
    return Model(
        name="", layers=f.size("n_layer"), hidden=hidden, heads=heads, kv_heads=heads, head_dim=hidden // heads,
        ffn=f.size("n_inner"), vocab=f.size("vocab_size"), tied_embeddings=True, norm_bias=True, final_norm=False,
        context_limit=f.size("n_positions"), other=hidden * (types + 2), encoder=True,
    )  # fmt: skip


@lru_cache(maxsize=256)
def reader(model: Model, text_tokens: int) -> Model:
    """Return a model as it embeds or scores texts: prompts of whole texts, no LM head.

    Parameters
    ----------
    model : Model
        An encoder, or a decoder whose last token's state is the answer.
    text_tokens : int
        Tokens of a text.

    Returns
    -------
    Model
        A copy; the texts of a request do not meet one another.

    Examples
    --------
    >>> from hopperbook.models import load, parameters
    >>> qwen = load("Qwen/Qwen3-8B")
    >>> parameters(qwen) - parameters(reader(qwen, 512))  # the LM head, 151,936 x 4,096
    622329856
    """
    return replace(model, text_tokens=text_tokens, tied_embeddings=True)


#: Readers of this module, by their names in the table of families.
READERS = {
    "bert": _bert,
    "roberta": _roberta,
    "modernbert": _modernbert,
    "nomic_bert": _nomic_bert,
}
