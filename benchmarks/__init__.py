"""Benchmarks: what a change costs, measured side by side on one machine in one run.

`python -m benchmarks` runs the suite and writes `benchmarks/results.md`; `python -m benchmarks.profile`
tells where the time of one document goes. Nothing here is part of the product, and no absolute time
is ever asserted: verdicts are ratios of variants that ran in turn, batch by batch or round by round.
"""
