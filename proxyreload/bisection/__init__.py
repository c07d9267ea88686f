"""Between which two versions a verdict changed."""
