"""``python -m proxyreload`` is the same as ``proxyreload``."""

from proxyreload.entry import main

if __name__ == "__main__":
    main()
