"""What every proxy plugin stands on; nothing here names a proxy."""
