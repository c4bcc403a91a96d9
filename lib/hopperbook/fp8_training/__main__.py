"""Repeat the experiment and store its results."""

import pandas as pd

from hopperbook.fp8_training.experiment import experiment
from hopperbook.fp8_training.results import summary

if __name__ == "__main__":
    told = experiment()
    print(f"{told['seconds']:.0f} s")
    print(summary(pd.DataFrame(told["runs"])).to_string())
