"""What is sent and what a right answer is: both ends of a kind in one file."""
