"""What waiting costs, measured: one scenario a file, loopback only.

python -m benchmarks            the names of the scenarios
python -m benchmarks wait       run one; --json FILE writes what it found
"""
