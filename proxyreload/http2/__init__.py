"""HTTP/2 as bytes: frames, header blocks and streams, for either end."""
