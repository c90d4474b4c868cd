"""How fast the node agent is beside public tools, in one run on one machine."""
