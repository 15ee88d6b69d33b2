"""What waiting costs, measured: one scenario a file, loopback only.

python -m benchmarks list       the names of the scenarios
python -m benchmarks wait       run one; --json FILE writes what it found
python -m benchmarks all        run all of them; writes to benchmarks/results/
"""
