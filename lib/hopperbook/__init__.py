"""Sizing of NVIDIA data-centre GPUs for one customer, computed from sourced facts."""
