"""Sizing of NVIDIA data-centre GPUs for one customer, computed from sourced facts."""

__version__ = "0.1.0"
