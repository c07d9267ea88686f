"""Those who write down: a row for each exchange, what ran, test results."""
