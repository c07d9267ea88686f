"""What happened, as plain records, and the way from those who tell to those who listen."""
