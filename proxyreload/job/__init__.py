"""What a job of continuous integration is told, besides files: its summary, and annotations."""
