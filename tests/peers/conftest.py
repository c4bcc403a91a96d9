"""The scripts here run in the peers' own environments: no test collects or imports them."""

collect_ignore_glob = ["*.py"]
