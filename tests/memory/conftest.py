"""What is collected where there is no checkout, for a wheel has no benchmarks; and that a busy machine makes no test red."""

from pathlib import Path

from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

collect_ignore = (
    []
    if (Path(__file__).parents[2] / "benchmarks").is_dir()
    else ["test_accounts.py", "test_kind_rates.py", "test_proof.py", "test_witness.py"]
)
