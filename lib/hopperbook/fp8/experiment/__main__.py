"""Repeat the experiment and store its results."""

import pandas as pd

from hopperbook.fp8.experiment.repeat import experiment
from hopperbook.fp8.experiment.results import summary

if __name__ == "__main__":
    told = experiment()
    print(f"{told['seconds']:.0f} s")
    print(summary(pd.DataFrame(told["runs"])).to_string())
