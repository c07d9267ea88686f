"""What is collected where there is no checkout: a wheel has no benchmarks."""

from importlib.util import find_spec

collect_ignore = (
    [] if find_spec("benchmarks") else ["test_accounts.py", "test_kind_rates.py", "test_proof.py", "test_witness.py"]
)
