"""What all commands have in common: options, help, completion, signals."""
