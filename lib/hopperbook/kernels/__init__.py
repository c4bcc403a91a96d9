"""Seconds of one kernel on one GPU and of one collective over several, by engine.

Tables are those of TensorRT-LLM 1.0 and vLLM 0.24 (0.14 on A100) on A100 SXM, H100 SXM and H200 SXM
(``aiconfigurator``).  They time short kernels on a card at full clocks; long runs under a power limit are slower, which
``sustained`` constants of the calculators above account for.  Other parts scale by the ratio of their rooflines (peak
arithmetic, bandwidth) and every answer says where it leaves what was measured.
"""

from hopperbook.kernels.algorithms import traffic_factor
from hopperbook.kernels.attention import context_attention_s, generation_attention_s
from hopperbook.kernels.collectives import bus_bandwidth, collective_s
from hopperbook.kernels.engines import ENGINES, engine_name, engine_tables, engine_words, multiplies_fp4, table_names
from hopperbook.kernels.gemm import gemm_s
from hopperbook.kernels.memory_bound import elementwise_s, quantise_s
from hopperbook.kernels.mla import mla_context_s, mla_generation_s
from hopperbook.kernels.moe import moe_s
from hopperbook.kernels.tables import Times

__all__ = [
    "ENGINES",
    "Times",
    "bus_bandwidth",
    "collective_s",
    "context_attention_s",
    "elementwise_s",
    "engine_name",
    "engine_tables",
    "engine_words",
    "gemm_s",
    "generation_attention_s",
    "mla_context_s",
    "mla_generation_s",
    "moe_s",
    "multiplies_fp4",
    "quantise_s",
    "table_names",
    "traffic_factor",
]
