"""What is collected where there is no checkout: a wheel has no benchmarks."""

from pathlib import Path

collect_ignore = (
    []
    if (Path(__file__).parents[2] / "benchmarks").is_dir()
    else ["test_accounts.py", "test_kind_rates.py", "test_proof.py", "test_witness.py"]
)
