"""What the machine is to this program: its clock, sockets, processes, and text that cannot be trusted."""
